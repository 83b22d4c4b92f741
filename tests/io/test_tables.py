"""The checks of an embedding table: each column is held to its range, and the error names it."""

import numpy as np
import pyarrow as pa
import pytest
from evo2_embed.io.errors import InputError
from evo2_embed.io.row_checks import check_embeddings
from evo2_embed.io.tables import embeddings_schema, vectors

ROW = {
    "genome": "g", "contig": "c", "start": 0, "end": 6, "strand": "+", "name": None,
    "n_tokens": 6, "context": 6, "exons": 1,
}  # fmt: skip


def checked(values=(1.0, 2.0), **changes):
    """Two rows, the second with changes, through the checks."""
    schema = embeddings_schema(2, "float32")
    rows = [ROW, {**ROW, **changes}]
    array = np.array([[1, 2], values], np.float32)
    columns = [pa.array([row[key] for row in rows]) for key in ROW]
    columns = [
        column.cast(schema.field(key).type) for key, column in zip(ROW, columns, strict=True)
    ]
    return check_embeddings(pa.table([*columns, vectors(array)], schema), array, "t.parquet")


def test_good_rows_pass():
    assert len(checked()) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_refused(bad):
    with pytest.raises(InputError, match=r"t.parquet: column 'embedding': 1 of 2 .* row 1"):
        checked(values=(1.0, bad))


@pytest.mark.parametrize(
    ("column", "changes"),
    [
        ("start", {"start": -1}),
        ("end", {"end": 0}),
        ("strand", {"strand": "."}),
        ("n_tokens", {"n_tokens": 0}),
        ("context", {"context": 5}),
    ],
)
def test_keys_out_of_range_are_refused(column, changes):
    with pytest.raises(InputError, match=f"t.parquet: column '{column}': 1 of 2"):
        checked(**changes)
