"""The file of a head: its arrays and metadata, checked. Light: a run looks at it when it starts.

Arrays: `weight` (outputs, width) and `bias` (outputs,); optional `mean` (width,), which is
subtracted from a vector first, and `threshold` (outputs,), (1,) or (), for sparse heads. Metadata,
all optional: `kind` (class or number), `classes` (a JSON list), `layer`, `model`,
`checkpoint_sha256`, `pooling`, `precision`, `parameters` (digest, of a fusion).
"""

import json
from dataclasses import dataclass
from pathlib import Path

from evo2_embed.io.errors import InputError
from evo2_embed.io.safetensors import ArrayFile
from evo2_embed.io.text import shown

CLASS, NUMBER = "class", "number"
WEIGHT, BIAS, MEAN, THRESHOLD = "weight", "bias", "mean", "threshold"


@dataclass(frozen=True)
class HeadFile:
    """The header of a file with a head.

    Attributes
    ----------
    arrays : ArrayFile
    kind : {"class", "number"}
    classes : tuple of str
        Of kind class: the name of each output.
    """

    arrays: ArrayFile
    kind: str
    classes: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The file."""
        return self.arrays.path

    @property
    def outputs(self) -> int:
        """Number of outputs: classes, numbers or features."""
        return self.arrays.shapes[WEIGHT][0]

    @property
    def width(self) -> int:
        """Dimensions of the vectors that it reads."""
        return self.arrays.shapes[WEIGHT][1]

    @property
    def has_threshold(self) -> bool:
        """Whether it has thresholds of its own."""
        return THRESHOLD in self.arrays.shapes

    def said(self, key: str) -> str | None:
        """An entry of its metadata; None if it has none."""
        return self.arrays.metadata.get(key)

    @staticmethod
    def open(path: str | Path) -> "HeadFile":
        """Read the header of a head.

        Raises
        ------
        InputError
            With the first fault: an array is missing or has another shape, or the classes are not
            those of the outputs.
        """
        arrays = ArrayFile.open(path)
        _check_shapes(arrays)
        metadata = arrays.metadata
        kind = metadata.get("kind", CLASS if "classes" in metadata else NUMBER)
        if kind not in (CLASS, NUMBER):
            raise InputError(f"{path}: kind '{shown(kind)}' (allowed: {CLASS}, {NUMBER})")
        classes = _classes(arrays) if kind == CLASS else ()
        return HeadFile(arrays, kind, classes)


def _check_shapes(arrays: ArrayFile) -> None:
    for name in (WEIGHT, BIAS):
        if name not in arrays.shapes:
            there = ", ".join(map(shown, sorted(arrays.shapes))) or "none"
            raise InputError(f"{arrays.path}: no array '{name}' (there: {there})")
    shape = arrays.shapes[WEIGHT]
    if len(shape) != 2 or not min(shape):
        raise InputError(
            f"{arrays.path}: array 'weight' of shape {list(shape)} (allowed: [outputs, width])"
        )
    outputs, width = shape
    allowed = {
        BIAS: [(outputs,)],
        MEAN: [(width,)],
        THRESHOLD: [(outputs,), (1,), ()],
    }
    for name, shapes in allowed.items():
        if name in arrays.shapes and arrays.shapes[name] not in shapes:
            fits = " or ".join(str(list(each)) for each in shapes)
            raise InputError(
                f"{arrays.path}: array '{name}' of shape {list(arrays.shapes[name])} beside a "
                f"weight of {list(shape)} (allowed: {fits})"
            )


def _classes(arrays: ArrayFile) -> tuple[str, ...]:
    text, outputs = arrays.metadata.get("classes", "[]"), arrays.shapes[WEIGHT][0]
    try:
        classes = json.loads(text)
    except ValueError:
        classes = None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise InputError(
            f"{arrays.path}: classes '{shown(text)}' (allowed: a JSON list of texts, "
            'for example ["CDS", "background"])'
        )
    twice = next((name for name in classes if classes.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{arrays.path}: class '{shown(twice)}' is named twice")
    if len(classes) != outputs or outputs < 2:
        raise InputError(
            f"{arrays.path}: {len(classes)} classes for {outputs} outputs (allowed: one class per "
            "output, at least 2)"
        )
    return tuple(classes)
