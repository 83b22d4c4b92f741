"""Files of arrays in the format safetensors: the length of a header, a JSON header, the numbers.

The package `safetensors` is not used: numpy has no bfloat16, so it cannot read such arrays without
PyTorch, and it writes metadata in a random order, so that equal arrays would give other bytes.

Light: a run reads headers when it starts. Only the functions that need numpy import it.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evo2_embed.io.errors import InputError
from evo2_embed.io.files import atomic_path

if TYPE_CHECKING:
    import numpy as np

# The types of numbers that can be read, as numpy has them, with their bytes as the last letter;
# bfloat16 is the upper half of a float32.
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_NAMES = {"<f8": "F64", "<f4": "F32"}
_METADATA = "__metadata__"
_MOST_HEADER = 100_000_000  # bytes, as in the format's own library


@dataclass(frozen=True)
class ArrayFile:
    """The header of a file of arrays.

    Attributes
    ----------
    path : Path
    shapes : dict of str to tuple of int
        Of all arrays, by name.
    types : dict of str to str
        The type of their numbers, as the format names it: F32, BF16, I64 and others.
    offsets : dict of str to int
        Where their numbers begin in the file.
    metadata : dict of str to str
    """

    path: Path
    shapes: dict[str, tuple[int, ...]]
    types: dict[str, str]
    offsets: dict[str, int]
    metadata: dict[str, str]

    @staticmethod
    def open(path: str | Path) -> "ArrayFile":
        """Read the header of a file. The numbers are not read.

        Raises
        ------
        InputError
            If it is missing, or no such file, or shorter than its header says.
        """
        try:
            with open(path, "rb") as file:
                size = file.seek(0, 2)
                file.seek(0)
                length = int.from_bytes(file.read(8), "little")
                if size < 8 or length > min(size - 8, _MOST_HEADER):
                    raise ValueError("its first eight bytes are not the length of a header")
                header = json.loads(file.read(length))
            return _from_header(Path(path), header, 8 + length, size)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file") from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            why = " ".join(str(error).split())
            raise InputError(f"{path}: not a safetensors file, or damaged ({why})") from None

    def read(self, name: str) -> "np.ndarray":
        """The numbers of an array, as float32 or float64.

        Raises
        ------
        InputError
            If the array has another type of numbers.
        """
        import numpy as np

        kind, shape = self.types[name], self.shapes[name]
        if kind not in _TYPES:
            allowed = ", ".join(sorted(_TYPES))
            raise InputError(f"{self.path}: array '{name}' is of type {kind} (allowed: {allowed})")
        count = math.prod(shape)
        values = np.fromfile(self.path, _TYPES[kind], count, offset=self.offsets[name])
        if kind == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float64 if kind == "F64" else np.float32, copy=False).reshape(shape)


def _from_header(path: Path, header: dict, start: int, size: int) -> ArrayFile:
    shapes, types, offsets = {}, {}, {}
    metadata = header.pop(_METADATA, {})
    if not all(isinstance(text, str) for entry in metadata.items() for text in entry):
        raise ValueError("its metadata are not texts")
    for name, entry in header.items():
        shape, kind = tuple(int(length) for length in entry["shape"]), entry["dtype"]
        first, last = (start + int(offset) for offset in entry["data_offsets"])
        if min(shape, default=0) < 0 or not start <= first <= last <= size:
            raise ValueError(f"array '{name}' is not within the file")
        if kind in _TYPES and math.prod(shape) * int(_TYPES[kind][-1]) != last - first:
            raise ValueError(f"array '{name}' has not the bytes of its shape")
        shapes[name], types[name], offsets[name] = shape, kind, first
    return ArrayFile(path, shapes, types, offsets, metadata)


def write_arrays(
    path: str | Path, arrays: "dict[str, np.ndarray]", metadata: dict[str, str]
) -> None:
    """Write arrays of float32 or float64, atomically. The same input gives the same bytes."""
    import numpy as np

    header, blocks, offset = {_METADATA: metadata}, [], 0
    for name, values in sorted(arrays.items()):
        block = np.ascontiguousarray(values).tobytes()
        kind = _NAMES[values.dtype.newbyteorder("<").str]
        offsets = [offset, offset + len(block)]
        header[name] = {"dtype": kind, "shape": list(values.shape), "data_offsets": offsets}
        blocks.append(block)
        offset += len(block)
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"".join([len(text).to_bytes(8, "little"), text, *blocks]))
