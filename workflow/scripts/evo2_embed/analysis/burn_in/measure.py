"""The burn-in of an extraction's layers, from the embeddings of its stretches."""

from pathlib import Path

import numpy as np
import polars as pl

from evo2_embed.analysis.burn_in.curves import QUANTILES, SETTLED, describe, group_edges, pair_rows
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.files import read_json, write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import (
    PACKS,
    embeddings_schema,
    open_table,
    table_metadata,
    vectors_to_numpy,
)


def measure_burn_in(packs: str, record: str, settings: dict, output: str) -> dict:
    """Write how far from the start of a stretch embeddings settle, by layer.

    Parameters
    ----------
    packs : str
        What `burn_in.packs.pack_burn_in` wrote.
    record : str
        The record of its embeddings; the layers' files are beside it.
    settings : dict
        `code`.
    output : str
        JSON file: `reason`, why there is no measurement, or null; `place` (genome, contig, start,
        end and strand of the longest context, `starts` of the others and their length, `stretch`);
        `quantiles`; `settled_at`, the least that the 5th percentile and the median are where rows
        count as settled; `edges`, see `curves.group_edges`; `layers`, by layer what
        `curves.describe` says.
    """
    place = table_metadata(open_table(packs, PACKS))["burn_in"]
    shard = read_json(record)
    result = {
        "settings": settings,
        "digest": settings_digest([settings, shard["digest"]]),
        **place,
        "settled_at": list(SETTLED),
        "quantiles": list(QUANTILES),
        "edges": [],
        "layers": {},
    }
    if place["reason"] is None:
        edges = group_edges(place["place"]["stretch"])
        result["edges"] = edges.tolist()
        for layer in shard["layers"]:
            keys, values = _read_layer(Path(record), shard, layer)
            result["layers"][layer] = describe(values, pair_rows(keys), edges)
            log.info("%s: settled after %s bases", layer, result["layers"][layer]["settled"])
    write_json(output, result)
    return result


def _read_layer(record: Path, shard: dict, layer: str) -> tuple[pl.DataFrame, np.ndarray]:
    """Keys and vectors (rows, width) of a layer."""
    known = shard["layers"][layer]
    dtype = shard["settings"]["extraction"]["dtype"]
    schema = embeddings_schema(known["width"], dtype, chunk=True)
    table = open_table(record.parent / known["file"], schema, known["sha256"], record).read()
    values = vectors_to_numpy(table["embedding"], known["width"]).astype(np.float32, copy=False)
    return pl.from_arrow(table.select(["start", "end", "n_tokens", "context"])), values
