"""The parts of windows that are not one interval of their contig: joined exons, or bases on both
sides of the origin of a circular contig."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

COLUMN = pa.list_(pa.int64())


def edges_of(counts) -> np.ndarray:
    """Where items of these sizes start and end if they lie end to end from 0, (n + 1,)."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


@dataclass(frozen=True)
class Parts:
    """The parts of n windows, on the forward strand and in the order of the window's bases there.

    A window that is simply [start, end) has no parts. One over the origin of a contig of L bases
    has the part [start, L), and [0, end - L) after it; its `end` is more than L.

    Attributes
    ----------
    edges : ndarray of int64, (n + 1,)
        Window i has the parts `edges[i]` to `edges[i + 1]`.
    start, end : ndarray of int64, (m,)
        0-based and half-open.
    """

    edges: np.ndarray
    start: np.ndarray
    end: np.ndarray

    @staticmethod
    def none(n: int) -> "Parts":
        """n windows without parts."""
        return Parts(np.zeros(n + 1, np.int64), *np.empty((2, 0), np.int64))

    @staticmethod
    def from_lists(counts: np.ndarray, values: np.ndarray) -> "Parts":
        """From numbers in the order start, end, start, end ..., `counts` of them per window."""
        return Parts(edges_of(counts // 2), values[::2], values[1::2])

    @staticmethod
    def from_arrow(column: pa.Array | pa.ChunkedArray) -> "Parts":
        """From the column `parts` of a chunk table."""
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        counts = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
        return Parts.from_lists(counts, column.flatten().to_numpy())

    def __arrow_array__(self, type: pa.DataType = COLUMN) -> pa.Array:
        """The column `parts` of a chunk table: null for a window without parts."""
        edges = pa.array(2 * self.edges.astype(np.int32))
        none = np.append(self.counts == 0, False)
        return pa.ListArray.from_arrays(
            pc.if_else(pa.array(none), pa.scalar(None, pa.int32()), edges), self.values
        )

    @property
    def counts(self) -> np.ndarray:
        """Number of parts of each window, (n,)."""
        return np.diff(self.edges)

    @property
    def values(self) -> np.ndarray:
        """All parts as numbers: start, end, start, end ..., (2 m,)."""
        return np.stack([self.start, self.end], axis=1).ravel()

    def __len__(self) -> int:
        return len(self.edges) - 1

    def __getitem__(self, which: np.ndarray | slice) -> "Parts":
        """The parts of some windows: indices, a mask, or a slice."""
        counts, first = self.counts[which], self.edges[:-1][which]
        edges = edges_of(counts)
        index = np.arange(edges[-1]) + np.repeat(first - edges[:-1], counts)
        return Parts(edges, self.start[index], self.end[index])

    def of(self, window: int) -> list[list[int]]:
        """Start and end of each part of one window."""
        first, stop = self.edges[window : window + 2].tolist()
        if first == stop:
            return []
        mine = slice(first, stop)
        return np.stack([self.start[mine], self.end[mine]], axis=1).tolist()

    def bases(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Bases of each window: int64, (n,).

        Parameters
        ----------
        start, end : ndarray of int64, (n,)
            Of the windows.
        """
        total = edges_of(self.end - self.start)
        joined = total[self.edges[1:]] - total[self.edges[:-1]]
        return np.where(self.counts > 0, joined, end - start)

    def faults(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Whether the parts of each window cannot be those of a window [start, end): bool, (n,).

        Parameters
        ----------
        start, end : ndarray of int64, (n,)
            Of the windows.
        """
        bad = np.zeros(len(self), bool)
        some = np.flatnonzero(self.counts)
        owner = np.repeat(np.arange(len(self)), self.counts)
        begin, stop = self.unrolled(start, end)
        bad[some] = (begin[self.edges[some]] != start[some]) | (
            stop[self.edges[some + 1] - 1] != end[some]
        )
        bad[owner[(self.start < 0) | (stop <= begin)]] = True
        follows = owner[1:] == owner[:-1]
        bad[owner[1:][follows & (begin[1:] < stop[:-1])]] = True
        return bad

    def lengths_of_contigs(self, end: np.ndarray) -> np.ndarray:
        """Bases of the contig of each window that goes over its origin, 0 for all others: int64,
        (n,).

        Parameters
        ----------
        end : ndarray of int64, (n,)
            Of the windows.
        """
        lengths = np.zeros(len(self), np.int64)
        some = np.flatnonzero(self.counts)
        lengths[some] = end[some] - self.end[self.edges[some + 1] - 1]
        return lengths

    def unrolled(self, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends of all parts as if contigs did not end at their origin: int64, (m,).

        Parameters
        ----------
        start, end : ndarray of int64, (n,)
            Of the windows.
        """
        more = np.repeat(self.lengths_of_contigs(end), self.counts)
        more[self.start >= np.repeat(start, self.counts)] = 0
        return self.start + more, self.end + more
