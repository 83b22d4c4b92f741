"""The Parquet files of a finished shard: one per layer, and one of scores."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from evo2_embed.embed.row_spans import DOWNSTREAM, tokens_of
from evo2_embed.embed.store import RowStore
from evo2_embed.io.digests import file_sha256
from evo2_embed.io.row_checks import check_embeddings, check_scores
from evo2_embed.io.tables import (
    embeddings_schema,
    metadata_schema,
    row_group_rows,
    scores_columns,
    scores_schema,
    table_writer,
    vectors,
)
from evo2_embed.settings.extraction import SCORES


def write_shard(store: RowStore, folder: Path, metadata: dict, bos: int) -> dict[str, dict]:
    """Write the Parquet files of a shard.

    Parameters
    ----------
    store : RowStore
        With all rows.
    folder : Path
    metadata : dict
        Metadata of the files, beside the layer.
    bos : int
        Tokens before the first base of a stretch: 0 or 1.

    Returns
    -------
    dict
        `layers`: by layer, `file`, `rows`, `width` and `sha256`; `scores`: the same without
        `width`, or None; and with variants `downstream`: both by layer and `scores`, from the
        variant on.

    Raises
    ------
    InputError
        If a row was never stored.
    """
    layers, scores, downstream = {}, None, {}
    variants = metadata.get("variants", False)
    for name, column in store.columns.items():
        path, (output, which) = folder / f"{name}.parquet", tokens_of(name)
        if output == SCORES:
            schema = scores_schema(chunk=True, variants=variants)
            tables = _scores(store, name, schema, str(path), bos)
        else:
            schema = embeddings_schema(column.width, column.dtype.name, True, variants)
            tables = _vectors(store, name, schema, str(path))
        with table_writer(path, metadata_schema(schema, {**metadata, "layer": name})) as writer:
            for table in tables:
                writer.write_table(table)
                store.beat()
        written = {"file": path.name, "rows": store.rows.count, "sha256": file_sha256(path)}
        if output != SCORES:
            written["width"] = column.width
        if which == DOWNSTREAM:
            downstream[output] = written
        elif output == SCORES:
            scores = written
        else:
            layers[name] = written
    found = {"layers": layers, "scores": scores}
    return {**found, "downstream": downstream} if downstream else found


def _groups(store: RowStore, name: str) -> Iterator[tuple[int, int, np.ndarray]]:
    """Row groups of a column: first row, end, and values (n, width)."""
    column, count = store.columns[name], store.rows.count
    group = row_group_rows(column.width, column.dtype.itemsize)
    for start in range(0, count, group):
        stop = min(start + group, count)
        yield start, stop, store.read(name, start, stop)


def _vectors(store: RowStore, name: str, schema: pa.Schema, source: str) -> Iterator[pa.Table]:
    for start, stop, values in _groups(store, name):
        keys = store.rows.keys(start, stop)
        table = pa.table({**keys, "embedding": vectors(values)}, schema=schema)
        yield check_embeddings(table, values, source)


def _scores(
    store: RowStore, name: str, schema: pa.Schema, source: str, bos: int
) -> Iterator[pa.Table]:
    downstream = tokens_of(name)[1] == DOWNSTREAM
    for start, stop, values in _groups(store, name):
        scored = store.rows.scored(start, stop, bos, downstream)
        columns = {**store.rows.keys(start, stop), **scores_columns(values[:, 0], scored)}
        yield check_scores(pa.table(columns, schema=schema), source)
