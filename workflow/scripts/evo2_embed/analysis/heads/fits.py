"""Whether a head is of the layer and the model that it is applied to. Light: a run asks early."""

import json
from collections.abc import Iterator

from evo2_embed.analysis.heads.files import HeadFile
from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log
from evo2_embed.io.text import shown


def misfits(file: HeadFile, layer: str, width: int, **known: str) -> Iterator[str]:
    """Why a head does not fit a layer: a line for each reason.

    Parameters
    ----------
    file : HeadFile
    layer : str
        Name of the layer or fusion.
    width : int
        Dimensions of its vectors.
    **known : str
        What is known of it, of the entries that a head's metadata may have: `model`,
        `checkpoint_sha256`, `parameters`.
    """
    if file.width != width:
        yield (
            f"{file.path}: reads vectors of {file.width} dimensions, and {layer} has {width} "
            "(allowed: a head of this layer)"
        )
    for key, value in {"layer": layer, **known}.items():
        said = file.said(key)
        if said is not None and said != value:
            yield (
                f"{file.path}: made for {key} '{shown(said)}', and applied to '{value}' "
                f"(allowed: a head of this {key.split('_')[0]})"
            )


def check_fits(file: HeadFile, dataset, made: dict) -> None:
    """Check that a head is of the layer, model and weights of a dataset.

    Parameters
    ----------
    file : HeadFile
    dataset : Dataset
    made : dict
        Record of the bundle that the dataset is joined from.

    Raises
    ------
    InputError
        With the first difference. A head of another pooling or precision is used, with a warning.
    """
    known = {key: made[key] for key in ("model", "checkpoint_sha256", "parameters") if key in made}
    for line in misfits(file, dataset.name, dataset.width, **known):
        raise InputError(line)
    used = {"pooling": json.dumps(made["pooling"]), "precision": made["precision"]}
    for key, value in used.items():
        if file.said(key) not in (None, value):
            said = shown(file.said(key))
            log.warning("%s: made with %s %s, applied with %s", file.path, key, said, value)
