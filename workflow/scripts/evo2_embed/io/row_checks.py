"""Checks of the values in tables: a row that cannot be right is refused before it is written."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evo2_embed.io.errors import InputError
from evo2_embed.io.parts import Parts
from evo2_embed.io.text import shown


def check_chunks(table: pa.Table, source: str, first: int = 0) -> pa.Table:
    """Check the values of a chunk table's rows; `first` is the number of the first chunk."""
    ends = table["start"].to_numpy(), table["end"].to_numpy()
    parts = Parts.from_arrow(table["parts"])
    checks = {
        "chunk": pc.equal(table["chunk"], pa.array(np.arange(first, first + len(table)))),
        "start": pc.greater_equal(table["start"], 0),
        "end": pc.greater(table["end"], table["start"]),
        "strand": pc.is_in(table["strand"], pa.array(["+", "-"])),
        "parts": pa.chunked_array([pa.array(~parts.faults(*ends))]),
        "length": pc.or_(
            pc.equal(table["length"], pa.array(parts.bases(*ends))), pc.is_valid(table["insert"])
        ),
        "stretch": pc.and_(
            pc.greater_equal(table["stretch"], 0), pc.less_equal(table["stretch"], table["chunk"])
        ),
        "context": pc.and_(
            pc.greater_equal(table["context"], table["length"]),
            # Context to the right of a window, or over the origin of its contig, can be longer.
            pc.or_(
                pc.or_(pc.equal(table["strand"], "-"), pc.is_valid(table["parts"])),
                pc.or_(pc.less_equal(table["context"], table["end"]), pc.is_valid(table["insert"])),
            ),
        ),
        "parent": _if_valid(table["parent"], pc.less(table["parent"], table["stretch"])),
        "fork": _if_valid(
            table["fork"],
            pc.and_(pc.greater_equal(table["fork"], 0), pc.less(table["fork"], table["context"])),
        ),
        "gc": _is_share(table["gc"]),
        "ambiguous": _is_share(table["ambiguous"]),
    }
    return _checked(table, checks, source)


def check_embeddings(table: pa.Table, values: np.ndarray, source: str) -> pa.Table:
    """Check the values of an embedding table's rows: keys in range, no NaN, no infinity.

    Parameters
    ----------
    table : pyarrow.Table
    values : ndarray, (n, width)
        The rows' vectors.
    source : str
        Name of the table in errors.
    """
    finite = pa.chunked_array([pa.array(np.isfinite(values).all(axis=1))])
    return _checked(table, {**_key_checks(table), "embedding": finite}, source)


def check_scores(table: pa.Table, source: str) -> pa.Table:
    """Check the values of a table of scores: keys in range, logarithms of probabilities, and no
    number that is missing or NaN."""
    scored = table["scored"]
    few = pc.less_equal(scored, pc.subtract(table["end"], table["start"]))
    if "allele" in table.column_names:
        # An alternate allele may have more bases than what it covers of the reference.
        few = pc.or_kleene(few, pc.equal(table["allele"], "alt"))
    checks = {
        "sum": pc.and_(pc.is_finite(table["sum"]), pc.less_equal(table["sum"], 0)),
        "mean": pc.equal(pc.is_null(table["mean"], nan_is_null=True), pc.equal(scored, 0)),
        "scored": pc.and_(pc.greater_equal(scored, 0), few),
    }
    return _checked(table, {**_key_checks(table), **checks}, source)


def _key_checks(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {
        "start": pc.greater_equal(table["start"], 0),
        "end": pc.greater(table["end"], table["start"]),
        "strand": pc.is_in(table["strand"], pa.array(["+", "-"])),
        "n_tokens": pc.greater(table["n_tokens"], 0),
        "context": pc.greater_equal(table["context"], table["n_tokens"]),
        "exons": pc.greater(table["exons"], 0),
    }


def _checked(table: pa.Table, checks: dict[str, pa.ChunkedArray], source: str) -> pa.Table:
    for column, passed in checks.items():
        bad = np.flatnonzero(~passed.to_numpy().astype(bool))
        if len(bad):
            row = {
                name: table[name][int(bad[0])].as_py()
                for name in table.column_names
                if name != "embedding"
            }
            raise InputError(
                f"{source}: column '{column}': {len(bad)} of {len(table)} values are not allowed; "
                f"the first is in row {int(bad[0])}: {shown(row, 500)}"
            )
    return table


def _if_valid(column: pa.ChunkedArray, passed: pa.ChunkedArray) -> pa.ChunkedArray:
    """A check that values pass if they are not null."""
    return pc.or_kleene(pc.is_null(column), passed)


def _is_share(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.and_(pc.greater_equal(column, 0), pc.less_equal(column, 1))
