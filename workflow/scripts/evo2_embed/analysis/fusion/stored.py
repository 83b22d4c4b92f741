"""Parameters of a fusion in a file. The same parameters give the same bytes."""

import hashlib
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from evo2_embed.analysis.fusion.shape import method_of
from evo2_embed.analysis.fusion.vectors import FittedFusion
from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import atomic_path

_ARRAYS = ("means", "deviations", "weights", "components", "explained")
_SETTINGS = ("method", "layers", "widths")
_DAMAGED = (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error)


def save_fusion(fusion: FittedFusion, path: str | Path, digest: str) -> None:
    """Write the parameters to an `.npz` file: arrays, and a JSON string `fusion` with the method,
    the layers, their widths, and the digest of what the parameters were made from. numpy gives the
    entries a fixed date."""
    settings = {**{key: getattr(fusion, key) for key in _SETTINGS}, "digest": digest}
    arrays = {key: getattr(fusion, key) for key in _ARRAYS if getattr(fusion, key) is not None}
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, fusion=np.array(json.dumps(settings, sort_keys=True)), **arrays)


def values_digest(fusion: FittedFusion) -> str:
    """Digest of the parameters themselves, whatever they were made from."""
    arrays = {key: getattr(fusion, key) for key in _ARRAYS if getattr(fusion, key) is not None}
    described = {
        key: [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
        for key, array in arrays.items()
    }
    return settings_digest([{key: getattr(fusion, key) for key in _SETTINGS}, described])


def fusion_digest(settings: dict, datasets: list[str], source: str | None) -> str:
    """Digest of what the parameters of a fusion are made from.

    Parameters
    ----------
    settings : dict
        Parameters of the rule `fit_fusion`.
    datasets : list of str
        Digests of the layers' datasets.
    source : str or None
        File with the parameters of another run.
    """
    files = [source] if source else []
    if "probe" in settings:
        labelling = {**settings["probe"]}
        files.append(labelling.pop("labels"))
        settings = {**settings, "probe": labelling}
    return settings_digest([settings, datasets, [file_sha256(file) for file in files]])


def recorded_fusion(path: str | Path) -> dict:
    """What a file of `save_fusion` says of its parameters, with their digest."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return json.loads(str(file["fusion"]))
    except _DAMAGED as error:
        raise _damaged(path, error) from error


def load_fusion(path: str | Path) -> FittedFusion:
    """Read what `save_fusion` wrote.

    Raises
    ------
    InputError
        If the file is missing, damaged, or has no parameters of a fusion.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            known = json.loads(str(file["fusion"]))
            arrays = {key: file[key] for key in _ARRAYS if key in file}
            layers, widths = tuple(known["layers"]), tuple(known["widths"])
            fusion = FittedFusion(known["method"], layers, widths, **arrays)
        _check_shapes(fusion)
    except _DAMAGED as error:
        raise _damaged(path, error) from error
    return fusion


def check_fits(
    fusion: FittedFusion, layers: dict[str, int], method: str | dict, source: str
) -> None:
    """Check that parameters are of these layers (name to dimensions) and this method.

    Raises
    ------
    InputError
        With the first difference; `source` is the file that the message names.
    """
    expected = {
        "method": method,
        "layers": list(layers),
        "widths": list(layers.values()),
    }
    for key, value in expected.items():
        found = getattr(fusion, key)
        found = list(found) if isinstance(found, tuple) else found
        if found != value:
            raise InputError(
                f"{source}: parameters of other {key}: {json.dumps(found)}, and this fusion has "
                f"{json.dumps(value)}; give another file or change the fusion"
            )


def _damaged(path: str | Path, error: Exception) -> InputError:
    return InputError(
        f"{path}: not the parameters of a fusion, or damaged ({' '.join(str(error).split())}); "
        "expected: a file results/fusions/.../*.npz of a run"
    )


def _check_shapes(fusion: FittedFusion) -> None:
    total, method = sum(fusion.widths), method_of(fusion.method)
    expected = {
        "means": (total,),
        "deviations": (total,),
        "weights": (len(fusion.layers),),
        "components": (fusion.width, total),
        "explained": (fusion.width,),
    }
    needed = {"mean": ["weights"], "weighted": ["weights"], "pca": ["components", "means"]}
    missing = [key for key in needed.get(method, []) if getattr(fusion, key) is None]
    if missing:
        raise ValueError(f"no {missing[0]}")
    for key in _ARRAYS:
        array = getattr(fusion, key)
        if array is not None and (array.shape != expected[key] or not np.isfinite(array).all()):
            raise ValueError(f"{key} of shape {array.shape}, or not finite")
