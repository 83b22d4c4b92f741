"""What users of the results have in their hands: a dataset, with its rows in the form they need."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import DTypeLike

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.sampling import evenly
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import some_of
from evo2_embed.reader.arrays import fill_array, fill_file
from evo2_embed.reader.find import find_dataset
from evo2_embed.reader.frames import needed, to_anndata, to_pandas
from evo2_embed.reader.groups import ROW
from evo2_embed.reader.means import means
from evo2_embed.reader.neighbours import mean_vector, nearest
from evo2_embed.reader.parts import Vectors
from evo2_embed.reader.query_vectors import Query, check_width, query_vectors
from evo2_embed.reader.rows import Rows
from evo2_embed.reader.torch_rows import TorchRows, torch_rows

if TYPE_CHECKING:
    import anndata
    import pandas


class Embeddings(Rows):
    """A dataset of a run, opened with `evo2_embed.open`.

    Rows are numbered from 0 in the order of the dataset; the column `row` has their numbers. Every
    DataFrame is of polars. A column of vectors is an Array, and `frame["embedding"].to_numpy()`
    gives an array (rows, width).

    The dataset is that of a layer, a fusion, scores or variants. Scores have no vectors. The
    vectors of variants are in the column `delta`.

    What is checked: the record and the sizes of all part files when it is opened. `numpy`,
    `anndata`, `torch`, `genomes`, `contigs`, `mean` and `neighbours` compare the digests of the
    part files that they read, once for each version of a file. `scan`, `region`, `by_name` and
    `rows` read a few row groups and compare sizes only; `verify` compares all digests.

    Errors are `InputError`: one line that says what is wrong, and what there is.

    Attributes
    ----------
    dataset : Dataset
        Paths, record and schema.
    """

    def __init__(self, dataset: Dataset):
        super().__init__(dataset)
        self._mean: np.ndarray | None = None

    @classmethod
    def open(
        cls, path: str | Path, extraction: str | None = None, layer: str | None = None
    ) -> "Embeddings":
        """See `evo2_embed.open`."""
        return cls(find_dataset(path, extraction, layer))

    def numpy(
        self,
        dtype: DTypeLike | None = None,
        out: str | Path | None = None,
        where: pl.Expr | None = None,
    ) -> np.ndarray:
        """All vectors as one array, in the order of `keys(where)`.

        They are in memory once: row groups are read into their place.

        Parameters
        ----------
        dtype : dtype, optional
            A type of floating-point numbers; that of the dataset if not given.
        out : path, optional
            A file `.npy` to write; it replaces a file of this name. The result is then this file,
            mapped into memory and read-only.
        where : Expr, optional
            Which rows, such as `pl.col("strand") == "+"`; all if not given.

        Returns
        -------
        ndarray, (rows, width)
        """
        self._check_vectors("numpy")
        dtype = np.dtype(dtype or self.dataset.record.get("dtype", "float32"))
        if dtype.kind != "f":
            raise InputError(f"dtype: {dtype} (allowed: float16, float32, float64)")
        rows = self._rows(where)
        if out is None:
            return fill_array(self.dataset, rows, dtype)
        return fill_file(self.dataset, rows, dtype, out)

    def torch(self, file: str | Path | None = None, where: pl.Expr | None = None) -> TorchRows:
        """A map-style dataset of (vector, row) for a `torch.utils.data.DataLoader`.

        The vectors are first written to a file of plain numbers, as large as the vectors, so that a
        loader can shuffle rows without reading a row group for each of them. Workers map this file
        into memory and share it.

        Parameters
        ----------
        file : path, optional
            Where to write them. If it has them already, nothing is written. Without it they are in
            a temporary file (in `$TMPDIR`), which is deleted with the result.
        where : Expr, optional
            Which rows; all if not given.

        Returns
        -------
        TorchRows
            Of each index a tensor of float32 (width,), and the number of the row in the dataset.
        """
        self._check_vectors("torch")
        needed("torch", "torch")
        return torch_rows(self.dataset, self._rows(where), file)

    def anndata(self, where: pl.Expr | None = None) -> "anndata.AnnData":
        """The dataset as AnnData for scanpy.

        `X` has the vectors as float32. `obs` has the other columns: texts as categories, "" where
        there is none. Its index says where a row is, and is unique. `uns["evo2_embed"]` names the
        model and the digest.

        Parameters
        ----------
        where : Expr, optional
            Which rows; all if not given.
        """
        self._check_vectors("anndata")
        needed("anndata", "anndata")
        return to_anndata(self.dataset, self.keys(where), self.numpy(np.float32, where=where))

    def pandas(self, where: pl.Expr | None = None) -> "pandas.DataFrame":
        """The dataset as a pandas DataFrame.

        Parameters
        ----------
        where : Expr, optional
            Which rows; all if not given.

        Returns
        -------
        DataFrame
            All columns, and `row`. Each vector is an array (width,); `numpy.stack` joins them.
        """
        needed("pandas", "pandas")
        vectors = self.numpy(where=where) if self.dataset.vector_column else None
        return to_pandas(self.dataset, self.keys(where), vectors)

    # Means and neighbours

    def genomes(self, strands: str = "mean") -> pl.DataFrame:
        """One vector per genome: the mean of its rows, weighted by their tokens.

        Bases in several overlapping windows count several times. If the run wrote the level
        `genome`, its table is read; else all rows are, with the same result.

        Parameters
        ----------
        strands : {"mean", "keep"}
            mean: one vector per genome, of the rows on both strands. In a fusion with `strands:
            concat` both strands lie side by side in a vector; their mean has half of the width.
            keep: one vector per strand, as in the table of the level; vectors of `concat` stay as
            they are.

        Returns
        -------
        DataFrame
            `genome`, `strand` if strands are kept, `n_rows`, `n_tokens` and `embedding`, in the
            order of the sheet.

        Raises
        ------
        InputError
            If the dataset has no embeddings, or has rows of variants.
        """
        return means(self.dataset, "genome", strands)

    def contigs(self, strands: str = "mean") -> pl.DataFrame:
        """One vector per contig, as `genomes` gives them; with the column `contig`."""
        return means(self.dataset, "contig", strands)

    def mean(self) -> np.ndarray:
        """The mean of all vectors; all rows are read, once.

        Returns
        -------
        ndarray of float64, (width,)
        """
        self._check_vectors("mean")
        return self._mean_of(Vectors(self.dataset))

    def neighbours(
        self,
        query: Query,
        k: int = 10,
        centre: bool | np.ndarray = True,
        where: pl.Expr | None = None,
        vectors: np.ndarray | None = None,
    ) -> pl.DataFrame:
        """The rows that are nearest to a query by cosine: exact, over all rows.

        All rows are read, a block at a time. Embeddings have a large part in common, so without
        centring all cosines are near 1, and their order is another.

        Parameters
        ----------
        query : int, str, tuple, ndarray or list
            A row by its number; a name, see `by_name`; a region, see `region`; or a vector
            (width,). If several rows have the name, or are in the region, the query is their mean,
            weighted by their tokens. A list, or an array (q, width), has several queries; all rows
            are read once for all of them.
        k : int
            Rows per query. The rows of the queries themselves are not among them.
        centre : bool or ndarray
            True: subtract the mean of all vectors (`mean`) from rows and queries first. False: do
            not. An array (width,) is subtracted instead.
        where : Expr, optional
            Which rows may be found, such as `pl.col("genome") != "phage"`; all if not given. The
            mean stays that of all rows.
        vectors : ndarray, (rows, width), optional
            All vectors, as `numpy` gives them, in memory or mapped from a file. They are read
            instead of the part files, as fast as the memory or the disk is.

        Returns
        -------
        DataFrame
            `query` (the number of the query, if there are several), `row`, `cosine`, and all
            columns but the vectors; the nearest first.

        Raises
        ------
        InputError
            If the query is not there, has another width, or has no direction.
        """
        self._check_vectors("neighbours")
        if k < 1:
            raise InputError(f"k: {k} (allowed: 1 or more)")
        asked = query_vectors(self.dataset, self._queries, self.rows, query)
        if vectors is not None:
            self._check_same(vectors)
        rows, given = self._rows(where), Vectors(self.dataset, vectors)
        if isinstance(centre, bool):
            middle = self._mean_of(given) if centre else np.zeros(self.width)
        else:
            middle = check_width(np.asarray(centre, np.float64), self.dataset, "centre")
        found = nearest(replace(given, rows=rows), asked.vectors, k, middle, asked.rows)
        keys = self._queries.groups.at(found[ROW].to_numpy(), self.dataset.key_columns)
        found = pl.concat([found, keys.drop(ROW, "cosine", strict=False)], how="horizontal")
        return found.drop("query") if asked.single else found

    def _mean_of(self, vectors: Vectors) -> np.ndarray:
        if self._mean is None:
            self._mean = mean_vector(vectors)
        return self._mean

    def _check_same(self, vectors: np.ndarray) -> None:
        """Check that an array has the vectors of the dataset, by some of its rows."""
        shape, some = (len(self), self.width), evenly(len(self), 3)
        if vectors.shape == shape and vectors.dtype.kind == "f":
            stored = self.rows(some)[self.dataset.vector_column].to_numpy()
            if (vectors[some] == stored.astype(vectors.dtype)).all():
                return
        raise InputError(
            f"vectors: not the {len(self):,} x {self.width:,} numbers of {self.dataset.path}, as "
            "numpy() gives them"
        )

    def _check_vectors(self, method: str) -> None:
        if self.dataset.vector_column is None:
            raise InputError(
                f"{self.dataset.path}: has no vectors for {method}(); its columns are "
                f"{some_of(self.dataset.schema.names)}: use scan() or keys()"
            )
