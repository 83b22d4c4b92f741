"""Passes over the part files of a dataset, several files at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pyarrow as pa

from evo2_embed.dataset.dataset import Dataset

Result = TypeVar("Result")
_MOST = 8  # files at a time; each needs the memory of a few row groups


def each_part(dataset: Dataset, work: Callable[[int], Result]) -> Iterator[Result]:
    """What a function gives for the index of each part file, in their order."""
    parts = range(len(dataset.record["parts"]))
    # pyarrow follows OMP_NUM_THREADS.
    pool = ThreadPoolExecutor(max(1, min(_MOST, pa.cpu_count(), len(parts))))
    try:
        yield from pool.map(work, parts)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error, files that were not begun are not read


def first_rows(dataset: Dataset) -> list[int]:
    """The first row of each part file, and the number of all rows."""
    rows = [0]
    for part in dataset.record["parts"]:
        rows.append(rows[-1] + part["rows"])
    return rows
