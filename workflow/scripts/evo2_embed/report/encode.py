"""Arrays of numbers as text for the page's script: small, and read at once (`decode.js`)."""

import base64
from collections.abc import Sequence

import numpy as np

_MOST = 65_534  # steps of a decimal number; the next one is "no value"


def integers(values: Sequence[int] | np.ndarray) -> dict:
    """Whole numbers from 0 on, in the smallest type that holds them.

    Returns
    -------
    dict
        `type`, of the array in JavaScript, and `data`, in Base64.
    """
    array = np.asarray(values)
    largest = int(array.max(initial=0))
    size = 1 if largest < 1 << 8 else 2 if largest < 1 << 16 else 4
    return {"type": f"Uint{8 * size}Array", "data": _base64(array.astype(f"<u{size}"))}


def decimals(values: Sequence[float | None] | np.ndarray) -> dict:
    """Numbers in 65,535 equal steps from the lowest to the highest, which is more than a screen
    shows. None and NaN have no value.

    Returns
    -------
    dict
        As that of `integers`, with `low` and `step`: a number is low + step * its integer.
    """
    array = np.array(values, np.float64)
    known = np.isfinite(array)
    low, high = (array[known].min(), array[known].max()) if known.any() else (0.0, 0.0)
    step = float(high - low) / _MOST or 1.0
    steps = np.full(array.shape, _MOST + 1)
    steps[known] = np.rint((array[known] - low) / step)
    data = _base64(steps.astype("<u2"))
    return {"type": "Uint16Array", "data": data, "low": float(low), "step": step}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
