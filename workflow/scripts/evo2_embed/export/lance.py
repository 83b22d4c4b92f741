"""A dataset as a table of LanceDB, with an index for nearest neighbours."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from evo2_embed.dataset.dataset import Dataset, to_polars
from evo2_embed.export.columns import described
from evo2_embed.io.files import atomic_directory
from evo2_embed.reader.groups import with_rows

# Below this number of rows, a search without an index takes about a second; it is exact.
INDEXED_ROWS = 100_000


def write_lance(dataset: Dataset, genomes: str, output: str) -> int:
    """Write all rows of a dataset as a table, one row group at a time: `row`, the keys, the further
    columns of the sheet, and `embedding`.

    A table of `INDEXED_ROWS` rows or more gets an index (IVF, with product quantisation) for
    Euclidean distances: they are the same for raw and for centred vectors.

    Parameters
    ----------
    dataset : Dataset
    genomes : str
        The table of genomes of the run.
    output : str
        The folder of the table, `{name}.lance`.

    Returns
    -------
    int
        Number of rows.
    """
    import lancedb
    from lancedb.index import IvfPq

    schema = _rows(dataset, dataset.schema.empty_table(), 0, genomes).schema
    name = Path(output).stem

    def batches() -> Iterator[pa.RecordBatch]:
        first = 0
        for table in dataset.row_groups():
            yield from _rows(dataset, table, first, genomes).to_batches()
            first += len(table)

    with atomic_directory(output) as temporary:
        tables = lancedb.connect(str(temporary))
        table = tables.create_table(name, batches(), schema=schema)
        if dataset.rows >= INDEXED_ROWS:
            table.create_index("embedding", config=IvfPq(distance_type="l2", max_iterations=10))
        inner = temporary / f"{name}.lance"
        for child in inner.iterdir():
            child.rename(temporary / child.name)
        inner.rmdir()
    return dataset.rows


def _rows(dataset: Dataset, table: pa.Table, first: int, genomes: str) -> pa.Table:
    """Rows as Lance has them: text without dictionaries, the vector last."""
    keys = to_polars(with_rows(table.drop_columns("embedding"), first))
    found = described(dataset, keys, genomes).to_arrow()
    vector = table["embedding"]
    plain = pa.list_(vector.type.value_type, dataset.width)
    return found.append_column("embedding", vector.cast(plain))
