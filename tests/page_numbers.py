"""Numbers of the page's script, read back."""

import base64

import numpy as np


def decode(encoded):
    """What `encode.integers` and `encode.decimals` wrote; NaN where there is no value."""
    size = int(encoded["type"].removeprefix("Uint").removesuffix("Array")) // 8
    whole = np.frombuffer(base64.b64decode(encoded["data"]), f"<u{size}")
    if "step" not in encoded:
        return whole.astype(np.int64)
    return np.where(whole == 65_535, np.nan, encoded["low"] + encoded["step"] * whole)


def decode_column(column):
    """Names of rows, or their numbers."""
    if "names" in column:
        return [column["names"][number] for number in decode(column["index"])]
    return decode(column["numbers"])
