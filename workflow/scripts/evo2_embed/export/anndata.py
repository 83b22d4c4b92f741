"""A dataset as an AnnData file (`.h5ad`), which scanpy opens."""

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.export.columns import described
from evo2_embed.io.files import atomic_path
from evo2_embed.reader.embeddings import Embeddings
from evo2_embed.reader.frames import to_anndata

# How AnnData marks an array in a file.
_ARRAY = {"encoding-type": "array", "encoding-version": "0.2.0"}


def write_anndata(dataset: Dataset, genomes: str, output: str) -> int:
    """Write all rows of a dataset as `Embeddings.anndata` gives them, with the further columns of
    the sheet in `obs`.

    The vectors are written one row group at a time, so only the keys need memory.

    Parameters
    ----------
    dataset : Dataset
    genomes : str
        The table of genomes of the run.
    output : str

    Returns
    -------
    int
        Number of rows.
    """
    import h5py

    keys = described(dataset, Embeddings(dataset).keys(), genomes)
    with atomic_path(output) as temporary:
        to_anndata(dataset, keys, None).write_h5ad(temporary)
        with h5py.File(temporary, "r+") as file:
            vectors = file.create_dataset("X", (dataset.rows, dataset.width), "float32")
            vectors.attrs.update(_ARRAY)
            first = 0
            for table in dataset.row_groups([dataset.vector_column]):
                stop = first + len(table)
                vectors[first:stop] = dataset.vectors(table)
                first = stop
    return dataset.rows
