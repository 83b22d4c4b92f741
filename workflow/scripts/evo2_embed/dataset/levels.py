"""Token-weighted means of a layer's rows: one vector per contig, or per genome, and strand."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa

from evo2_embed.io.digests import file_sha256
from evo2_embed.io.tables import table_writer, vectors, vectors_to_numpy


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


class LevelMeans:
    """Means over contigs and genomes, from rows sorted by genome and contig.

    A mean is written when the next contig, or genome, starts, so memory holds one of each. The
    files `{output}.contig.parquet` and `{output}.genome.parquet` appear only if the block succeeds.
    Bases in several overlapping windows count several times.
    """

    def __init__(self, levels: Sequence[str], output: str, width: int):
        self.width, self.schema = width, level_schema(width)
        self.paths = {level: Path(f"{output}.{level}.parquet") for level in levels}
        self.sums: dict[str, dict[tuple, list]] = {level: {} for level in levels}
        self.files: dict[str, dict] = {}
        self.stack = ExitStack()

    def __enter__(self) -> "LevelMeans":
        self.writers = {
            level: self.stack.enter_context(table_writer(path, self.schema))
            for level, path in self.paths.items()
        }
        return self

    def __exit__(self, *error) -> None:
        if error[0] is None:
            for level in self.writers:
                self._flush(level, None)
        self.stack.__exit__(*error)
        if error[0] is None:
            self.files = {
                level: {"file": path.name, "sha256": file_sha256(path)}
                for level, path in self.paths.items()
            }

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
        self.writers[level].write_table(pa.table([*arrays, vectors(means)], schema=self.schema))
