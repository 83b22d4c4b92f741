"""Parameters of a fusion in a file, the same bytes for the same parameters."""

import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from evo2_embed.analysis.fusion.shape import method_of
from evo2_embed.analysis.fusion.vectors import Fusion
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import atomic_path

_ARRAYS = ("means", "deviations", "weights", "components", "explained")
_SAID = ("method", "layers", "widths")


def save_fusion(fusion: Fusion, path: str | Path) -> None:
    """Write the parameters to a `.npz` file: arrays, and a JSON string `fusion` with the method,
    the layers and their widths. Entries of such a file have a fixed date."""
    said = {key: getattr(fusion, key) for key in _SAID}
    arrays = {key: getattr(fusion, key) for key in _ARRAYS if getattr(fusion, key) is not None}
    with atomic_path(path) as temporary, open(temporary, "wb") as handle:
        np.savez(handle, fusion=np.array(json.dumps(said, sort_keys=True)), **arrays)


def load_fusion(path: str | Path) -> Fusion:
    """Read what `save_fusion` wrote.

    Raises
    ------
    InputError
        When the file is missing, damaged or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            said = json.loads(str(file["fusion"]))
            arrays = {key: file[key] for key in _ARRAYS if key in file}
            fusion = Fusion(said["method"], *(tuple(said[key]) for key in _SAID[1:]), **arrays)
        _check_shapes(fusion)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path}: no parameters of a fusion, or damaged ({' '.join(str(error).split())}); "
            "wanted: a file results/fusions/.../*.npz of a run"
        ) from error
    return fusion


def check_fits(fusion: Fusion, layers: dict[str, int], method: str | dict, source: str) -> None:
    """See that parameters are of these layers (by name, their width) and this method.

    Raises
    ------
    InputError
        With what differs first.
    """
    wanted = {
        "method": method,
        "layers": list(layers),
        "widths": list(layers.values()),
    }
    for key, value in wanted.items():
        found = getattr(fusion, key)
        found = list(found) if isinstance(found, tuple) else found
        if found != value:
            raise InputError(
                f"{source}: parameters of other {key}: {json.dumps(found)}, and this fusion has "
                f"{json.dumps(value)}; give another file or change the fusion"
            )


def _check_shapes(fusion: Fusion) -> None:
    total, method = sum(fusion.widths), method_of({"method": fusion.method})
    wanted = {
        "means": (total,),
        "deviations": (total,),
        "weights": (len(fusion.layers),),
        "components": (fusion.width, total),
        "explained": (fusion.width,),
    }
    needed = {"mean": ["weights"], "weighted": ["weights"], "pca": ["components", "means"]}
    missing = [key for key in needed.get(method, []) if getattr(fusion, key) is None]
    if missing:
        raise ValueError(f"{missing[0]} are missing")
    for key in _ARRAYS:
        array = getattr(fusion, key)
        if array is not None and (array.shape != wanted[key] or not np.isfinite(array).all()):
            raise ValueError(f"{key} have the shape {array.shape}, or are not finite")
