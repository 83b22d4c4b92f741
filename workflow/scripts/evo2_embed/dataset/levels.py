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
    """Means over contigs and genomes, from rows sorted by genome and contig.

    A mean is known when the next contig, or genome, starts. Memory holds the sums of one of each,
    and the means of a row group. Files appear only if the block succeeds. Bases in several
    overlapping windows count several times.

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
        self.width, self.schema, self.paths = width, level_schema(width), paths
        self.sums: dict[str, dict[tuple, list]] = {level: {} for level in paths}
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
            for level in self.writers:
                self._flush(level, None)
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
        if not self.writers:
            return
        values = vectors_to_numpy(table["embedding"], self.width).astype(np.float64)
        weights = table["n_tokens"].to_numpy().astype(np.int64)
        keys = list(
            zip(*(table[key].to_pylist() for key in ("genome", "contig", "strand")), strict=True)
        )
        groups: dict[tuple, list[int]] = {}
        for row, key in enumerate(keys):
            groups.setdefault(key, []).append(row)
        for (genome, contig, strand), rows in groups.items():
            part = (weights[rows, None] * values[rows]).sum(axis=0)
            for level in self.writers:
                owner = (genome, contig if level == "contig" else None)
                self._flush(level, owner)
                total = self.sums[level].setdefault(
                    (*owner, strand), [0, 0, np.zeros(self.width, np.float64)]
                )
                total[0] += len(rows)
                total[1] += int(weights[rows].sum())
                total[2] += part

    def _flush(self, level: str, owner: tuple | None) -> None:
        """Write the sums of a contig or genome that is not `owner`."""
        done = [key for key in self.sums[level] if key[:2] != owner]
        if not done:
            return
        sums = [self.sums[level].pop(key) for key in sorted(done, key=lambda key: key[2])]
        genomes, contigs, strands = zip(*sorted(done, key=lambda key: key[2]), strict=True)
        means = np.stack([total / n_tokens for _, n_tokens, total in sums]).astype(np.float32)
        columns = [genomes, contigs, strands, [s[0] for s in sums], [s[1] for s in sums]]
        arrays = [pa.array(c, f.type) for c, f in zip(columns, self.schema, strict=False)]
        self.writers[level].add(pa.table([*arrays, vectors(means)], schema=self.schema))
