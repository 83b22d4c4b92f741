"""A dataset as a Parquet file that embedding-atlas draws: a map of its rows, with neighbours."""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from evo2_embed.analysis import neighbours
from evo2_embed.analysis.projection import project
from evo2_embed.dataset.dataset import Dataset, to_polars
from evo2_embed.dataset.sampling import evenly
from evo2_embed.export.columns import column_names, described
from evo2_embed.io.files import atomic_path
from evo2_embed.reader.frames import row_names
from evo2_embed.reader.groups import ROW

NEIGHBOURS = 15  # of a row, without itself
_ADDED = ("text", "x", "y", "neighbors")
_NEIGHBOURS = pa.struct([("ids", pa.list_(pa.int64())), ("distances", pa.list_(pa.float32()))])


def write_atlas(dataset: Dataset, genomes: str, output: str, most: int) -> int:
    """Write at most `most` rows of a dataset, evenly spaced.

    Columns: `text`, place and name of the row, to search in; `row`; the keys; the further columns
    of the sheet; `x` and `y`, see `places`; `neighbors`, see `nearest`.

    Parameters
    ----------
    dataset : Dataset
    genomes : str
        The table of genomes of the run.
    output : str
    most : int

    Returns
    -------
    int
        Number of rows.
    """
    chosen = evenly(dataset.rows, most)
    table = dataset.take(chosen)
    keys, vectors = to_polars(table.drop_columns("embedding")), dataset.vectors(table)
    keys = keys.insert_column(0, pl.Series(ROW, chosen))
    rows = described(dataset, keys, genomes)
    rows = rows.rename(column_names(rows.columns, _ADDED), strict=False)
    x, y = places(vectors)
    named = pl.concat_str(row_names(keys), keys["name"], separator=" ", ignore_nulls=True)
    rows = rows.select(named.alias("text"), pl.all(), x=pl.Series(x), y=pl.Series(y))
    found = rows.to_arrow().append_column("neighbors", nearest(vectors))
    with atomic_path(output) as temporary:
        pq.write_table(found, temporary, compression="zstd")
    return len(vectors)


def places(vectors: np.ndarray) -> np.ndarray:
    """Places of vectors on a map: the UMAP of the report; the first two principal components of
    fewer than 10 vectors; zeros if all are equal.

    Returns
    -------
    ndarray of float32, (2, n)
    """
    found = project(vectors, umap=True)
    if found is None:
        return np.zeros((2, len(vectors)), np.float32)
    chosen = found.components[:2] if found.umap is None else found.umap
    return np.resize(chosen, (2, len(vectors))) if len(chosen) == 1 else chosen.astype(np.float32)


def nearest(vectors: np.ndarray) -> pa.Array:
    """The `NEIGHBOURS` nearest of each vector among the others, by the cosine of centred vectors.

    Returns
    -------
    pyarrow array of structs, (n,)
        `ids`: indices, the nearest first. `distances`: 1 - cosine.
    """
    ids, cosines = neighbours.nearest(vectors, NEIGHBOURS)
    distances = 1 - cosines
    n, number = ids.shape
    columns = [
        pa.ListArray.from_arrays(np.arange(0, n * number + 1, number or 1, np.int32)[: n + 1], flat)
        if number
        else pa.array([[]] * n, pa.list_(flat.type))
        for flat in (pa.array(ids.reshape(-1)), pa.array(distances.reshape(-1)))
    ]
    return pa.StructArray.from_arrays(columns, fields=list(_NEIGHBOURS))
