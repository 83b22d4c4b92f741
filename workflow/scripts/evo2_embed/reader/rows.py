"""A dataset and its rows: what it is, and its rows by region, name and number."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.io.text import human_bytes
from evo2_embed.reader.find import manifest_of, names_in
from evo2_embed.reader.groups import ROW
from evo2_embed.reader.names import not_there
from evo2_embed.reader.queries import Queries
from evo2_embed.reader.scan import scan_parts


class Rows:
    """The rows of a dataset; `Embeddings` adds their vectors.

    Attributes
    ----------
    dataset : Dataset
        Paths, record and schema.
    """

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self._queries = Queries(dataset)

    # What it is

    def __len__(self) -> int:
        """Number of rows."""
        return self.dataset.rows

    @property
    def name(self) -> str:
        """Name of the layer, or of the fusion."""
        return self.dataset.name

    @property
    def width(self) -> int:
        """Dimensions of a vector; 0 if there are none."""
        return self.dataset.width if self.dataset.vector_column else 0

    @property
    def layers(self) -> list[str]:
        """Names of all datasets of the same extraction."""
        return names_in(self.dataset.path.parent)

    @cached_property
    def manifest(self) -> dict:
        """The manifest of the extraction: settings, genomes, datasets and their digests."""
        return read_json(manifest_of(self.dataset.path))

    def __repr__(self) -> str:
        return "\n".join(f"{key}: {value}" for key, value in self._described().items())

    def _repr_html_(self) -> str:
        cells = (
            f"<tr><th style='text-align:left'>{key}</th>"
            f"<td style='text-align:left'>{_escaped(value)}</td></tr>"
            for key, value in self._described().items()
        )
        return f"<table>{''.join(cells)}</table>"

    def _described(self) -> dict[str, str]:
        record, column = self.dataset.record, self.dataset.vector_column
        parts = record["parts"]
        size = human_bytes(sum(part["bytes"] for part in parts))
        files = f"{size} in {len(parts):,} file{'s' if len(parts) != 1 else ''}"
        shape = f" of {self.width:,} numbers ({record.get('dtype', 'float32')})" if column else ""
        return {
            "dataset": f"{self.name} ({self.dataset.folder})",
            "rows": f"{len(self):,}{shape}, {files}",
            "model": f"{record['model']}, precision {record['precision']}",
            "pooling": str(record["pooling"]),
            "columns": ", ".join(self.dataset.schema.names),
        }

    def verify(self) -> None:
        """Compare the digests of all part files with the record; this reads all of them.

        Raises
        ------
        InputError
            With one line per file that is missing, damaged or changed.
        """
        self.dataset.verify()

    # Rows

    def scan(self) -> pl.LazyFrame:
        """All rows as a LazyFrame, with the column `row`.

        Polars reads only the columns and row groups that a query needs. Digests are not compared.
        """
        return scan_parts(self.dataset)

    def keys(self, where: pl.Expr | None = None) -> pl.DataFrame:
        """All columns but the vectors, and `row`.

        Parameters
        ----------
        where : Expr, optional
            Which rows, such as `pl.col("strand") == "+"`; all if not given.
        """
        return self._filtered(where).collect()

    def rows(self, rows: int | Sequence[int]) -> pl.DataFrame:
        """Some rows by their numbers, in this order; only their row groups are read.

        Parameters
        ----------
        rows : int, or sequence of int
        """
        index = np.atleast_1d(np.asarray(rows, np.int64))
        bad = index[(index < 0) | (index >= len(self))]
        if len(bad):
            raise InputError(f"{self.dataset.path}: no row {bad[0]}; it has {len(self):,}, from 0")
        return self._queries.groups.at(index)

    def region(
        self,
        region: str | tuple[str, int, int],
        strand: str | None = None,
        genome: str | None = None,
        circular: int | None = None,
    ) -> pl.DataFrame:
        """All rows that have bases in a region, with all columns; only their row groups are read.

        A row has bases in the region if [`start`, `end`) overlaps it. The introns of a spliced row
        count, too. Rows of variants count with the bases of the reference that their windows have;
        rows of the dataset of variants with those of the reference allele.

        Parameters
        ----------
        region : str or tuple
            `"chr1:1,001-2,000"`: positions from 1, both ends included, as in samtools, IGV and
            GenBank. `"chr1:1,001-"` goes to the end, `"chr1"` is the whole contig. Or `("chr1",
            1000, 2000)`, the same region in the numbers of the dataset and of BED: from 0, without
            the end.
        strand : {"+", "-"}, optional
            Both if not given.
        genome : str, optional
            Needed if several genomes have a contig of this name.
        circular : int, optional
            Bases of the contig if it is circular. The `end` of a row over the origin is past this
            number. With it, such rows are found from both sides of the origin, and the region may
            go over the origin as well.

        Raises
        ------
        InputError
            If the contig or the genome is not there, if the genome is needed, or if the region is
            not one.
        """
        return self._queries.region(region, strand, genome, circular)

    def by_name(
        self,
        names: str | Sequence[str],
        strand: str | None = None,
        genome: str | None = None,
    ) -> pl.DataFrame:
        """All rows of regions, genes or variants by their names, with all columns.

        A name is looked for in the column `name`, then in `variant` (`chr1:1001:A:G`, the position
        from 1), then in `id`, as far as the dataset has them. Several rows may have one name: both
        strands, all bins, both alleles. The names of all rows are read once.

        Parameters
        ----------
        names : str, or sequence of str
        strand : {"+", "-"}, optional
            Both if not given.
        genome : str, optional
            All genomes if not given.

        Raises
        ------
        InputError
            If a name is not there; with names that are nearly the same.
        """
        return self._queries.by_name(names, strand, genome)

    # Which rows

    def _filtered(self, where: pl.Expr | None) -> pl.LazyFrame:
        """The rows of an expression, with all columns but the vectors."""
        rows = self.scan().select(ROW, *self.dataset.key_columns)
        rows = rows.with_columns(pl.col("genome", "contig").cast(pl.String))
        if where is None:
            return rows
        self._check_columns(where)
        return rows.filter(where)

    def _check_columns(self, where: pl.Expr) -> None:
        there = [ROW, *self.dataset.key_columns]
        unknown = [name for name in where.meta.root_names() if name not in there]
        if unknown:
            raise InputError(f"where: {not_there('no column', unknown[0], there)}")

    def _rows(self, where: pl.Expr | None) -> np.ndarray | None:
        """Row numbers of an expression; None for all rows."""
        if where is None:
            return None
        return self._filtered(where).select(ROW).collect().to_series().to_numpy()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
