"""Token-weighted means of a layer's rows: one vector per contig, or per genome, and strand."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evo2_embed.io.digests import file_sha256
from evo2_embed.io.tables import row_group_rows, table_writer, vectors, vectors_to_numpy


def level_schema(width: int) -> pa.Schema:
    """Columns of a level's table; `contig` is null for the level genome."""
    item = pa.field("item", pa.float32(), nullable=False)
    return pa.schema(
        [
            pa.field("genome", pa.string(), nullable=False),
            pa.field("contig", pa.string()),
            pa.field("strand", pa.string(), nullable=False),
            pa.field("n_rows", pa.int64(), nullable=False),
            pa.field("n_tokens", pa.int64(), nullable=False),
            pa.field("embedding", pa.list_(item, width), nullable=False),
        ]
    )


@contextmanager
def level_writer(path: Path, width: int) -> Iterator["RowGroups"]:
    """A writer of a level's table; the file appears only if the block succeeds."""
    with table_writer(path, level_schema(width)) as writer:
        groups = RowGroups(writer, row_group_rows(width, 4))
        yield groups
        groups.write()


def level_entries(paths: dict[str, Path]) -> dict[str, dict]:
    """Per level, `file` and `sha256` of its table."""
    return {
        level: {"file": path.name, "sha256": file_sha256(path)} for level, path in paths.items()
    }


class RowGroups:
    """Gathers small tables to row groups of about `size` rows."""

    def __init__(self, writer: pq.ParquetWriter, size: int):
        self.writer, self.size = writer, size
        self.tables: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        """Add rows; write a row group if there are enough."""
        self.tables.append(table)
        if sum(map(len, self.tables)) >= self.size:
            self.write()

    def write(self) -> None:
        """Write the rows that were gathered."""
        if self.tables:
            self.writer.write_table(pa.concat_tables(self.tables))
            self.tables = []


class LevelMeans:
    """Writes means over contigs and genomes, from rows sorted by genome and contig.

    Memory holds the means of a row group. Files appear only if the block succeeds.

    Parameters
    ----------
    paths : dict of str to Path
        Per level, its file.
    width : int

    Attributes
    ----------
    files : dict of str to dict
        After the block, per level, `file` and `sha256`.
    """

    def __init__(self, paths: dict[str, Path], width: int):
        self.width, self.paths = width, paths
        self.means = {level: RunningMeans(level, width) for level in paths}
        self.files: dict[str, dict] = {}
        self.stack = ExitStack()

    def __enter__(self) -> "LevelMeans":
        self.writers = {
            level: self.stack.enter_context(level_writer(path, self.width))
            for level, path in self.paths.items()
        }
        return self

    def __exit__(self, *error) -> None:
        if error[0] is None:
            for level, writer in self.writers.items():
                _write(writer, self.means[level].rest())
        self.stack.__exit__(*error)
        if error[0] is None:
            self.files = level_entries(self.paths)

    def watch(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The same tables; each is added."""
        for table in tables:
            self.add(table)
            yield table

    def add(self, table: pa.Table) -> None:
        """Add rows of the dataset, in its order."""
        for sums in _sums(table, self.width) if self.writers else ():
            for level, writer in self.writers.items():
                _write(writer, self.means[level].add(*sums))


def level_means(tables: Iterable[pa.Table], level: str, width: int) -> Iterator[pa.Table]:
    """The rows of a level's table, from the rows of a dataset in their order."""
    means = RunningMeans(level, width)
    for table in tables:
        for sums in _sums(table, width):
            if (done := means.add(*sums)) is not None:
                yield done
    if (done := means.rest()) is not None:
        yield done


class RunningMeans:
    """Means over contigs, or genomes, from sums over rows that are sorted by genome and contig.

    A mean is known when the next contig, or genome, starts. Memory holds the sums of one. Bases in
    several overlapping windows count several times.

    Parameters
    ----------
    level : {"contig", "genome"}
    width : int
    """

    def __init__(self, level: str, width: int):
        self.level, self.schema = level, level_schema(width)
        self.owner: tuple | None = None
        self.sums: dict[str, list] = {}  # by strand: rows, tokens, sum of the vectors

    def add(
        self, genome: str, contig: str, strand: str, n_rows: int, n_tokens: int, total: np.ndarray
    ) -> pa.Table | None:
        """Add the sum of some rows of a contig and strand; the means that are known now."""
        owner = (genome, contig if self.level == "contig" else None)
        done = self.rest() if owner != self.owner else None
        self.owner = owner
        if strand in self.sums:
            known = self.sums[strand]
            self.sums[strand] = [known[0] + n_rows, known[1] + n_tokens, known[2] + total]
        else:
            self.sums[strand] = [n_rows, n_tokens, np.zeros_like(total) + total]
        return done

    def rest(self) -> pa.Table | None:
        """The means of the last contig or genome; None if there is none."""
        if not self.sums:
            return None
        strands = sorted(self.sums)
        rows, tokens, totals = zip(*(self.sums.pop(strand) for strand in strands), strict=True)
        means = [total / number for total, number in zip(totals, tokens, strict=True)]
        genomes, contigs = ([name] * len(strands) for name in self.owner)
        columns = [genomes, contigs, strands, rows, tokens]
        arrays = [pa.array(c, f.type) for c, f in zip(columns, self.schema, strict=False)]
        values = np.stack(means).astype(np.float32)
        return pa.table([*arrays, vectors(values)], schema=self.schema)


def _sums(table: pa.Table, width: int) -> Iterator[tuple[str, str, str, int, int, np.ndarray]]:
    """Of each genome, contig and strand of a table: these, rows, tokens, and the sum of the vectors
    by their tokens (float64)."""
    values = vectors_to_numpy(table["embedding"], width).astype(np.float64)
    weights = table["n_tokens"].to_numpy().astype(np.int64)
    keys = zip(*(table[key].to_pylist() for key in ("genome", "contig", "strand")), strict=True)
    groups: dict[tuple, list[int]] = {}
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    for key, rows in groups.items():
        total = (weights[rows, None] * values[rows]).sum(axis=0)
        yield *key, len(rows), int(weights[rows].sum()), total


def _write(writer: RowGroups, table: pa.Table | None) -> None:
    if table is not None:
        writer.add(table)
