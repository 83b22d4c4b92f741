"""The burn-in of an extraction's layers, from the embeddings of its stretches."""

from evo2_embed.analysis.burn_in.curves import QUANTILES, SETTLED, describe, group_edges, pair_rows
from evo2_embed.dataset.shards import read_shard_layer
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.files import read_json, write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import PACKS, open_table, table_metadata


def measure_burn_in(packs: str, record: str, code: int, output: str) -> dict:
    """Write after how many bases of context the embeddings of each layer are settled.

    Parameters
    ----------
    packs : str
        Pack file that `burn_in.packs.pack_burn_in` wrote.
    record : str
        Record of the embeddings; the files of the layers are beside it.
    code : int
        Version of the code, for the record.
    output : str
        JSON file to write: `reason`, why nothing was measured, or null; `place` (genome, contig,
        start, end and strand of the longest stretch, number `starts` and bases `stretch` of the
        short ones, bases `row` of a row); `settled_at`, the minimum of the 5th percentile and of
        the median for settled rows; `quantiles`; `edges`, see `curves.group_edges`; `layers`, for
        each layer the result of `curves.describe`.
    """
    found = table_metadata(open_table(packs, PACKS))["burn_in"]
    shard, settings = read_json(record), {"code": code}
    result = {
        "settings": settings,
        "digest": settings_digest([settings, shard["digest"]]),
        **found,
        "settled_at": list(SETTLED),
        "quantiles": list(QUANTILES),
        "edges": [],
        "layers": {},
    }
    if found["reason"] is None:
        edges = group_edges(found["place"]["stretch"])
        result["edges"] = edges.tolist()
        for layer in shard["layers"]:
            keys, values = read_shard_layer(record, layer)
            result["layers"][layer] = describe(values, pair_rows(keys), edges)
            log.info("%s: settled after %s bases", layer, result["layers"][layer]["settled"])
    write_json(output, result)
    return result
