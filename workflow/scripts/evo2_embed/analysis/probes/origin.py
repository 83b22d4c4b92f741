"""What a probe was made from, for its record: settings and digests, no path. Light: checks ask."""

from evo2_embed.io.digests import file_sha256
from evo2_embed.settings.analyses import Probe
from evo2_embed.settings.extraction import Fusion


def made_from(code: int, probe: Probe, **others) -> dict:
    """Settings and digest of the labels, for the record of a probe.

    Parameters
    ----------
    code : int
        Version of the code.
    probe : Probe
    **others
        Other settings, as JSON has them.
    """
    labelling = probe.to_dict()
    digest = file_sha256(labelling.pop("labels"))
    return {"settings": {"code": code, "probe": labelling, **others}, "labels_sha256": digest}


def without_paths(fusions: dict[str, Fusion]) -> dict[str, dict]:
    """Settings of fusions, with digests instead of the paths of parameters."""
    digests = {name: f.parameters and file_sha256(f.parameters) for name, f in fusions.items()}
    return {name: {**f.to_dict(), "parameters": digests[name]} for name, f in fusions.items()}
