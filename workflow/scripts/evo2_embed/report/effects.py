"""How large the effects of variants are, read once for the terminal and the report."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.dataset.dataset import to_polars
from evo2_embed.dataset.kinds import AllelesDataset
from evo2_embed.dataset.sampling import evenly
from evo2_embed.io.files import read_json
from evo2_embed.io.text import shown, text_table, wrapped
from evo2_embed.report.summary import Result

LLR, DISTANCE = "llr", "euclidean_downstream"
LARGEST = 10  # rows with the largest effect
_IN_SUMMARY = 3  # of them
_NAME = 48  # most characters of a variant, and of its ID, in the summary
_BATCH = 1 << 16  # rows in memory

_KIND = (
    pl.when(pl.col("ref").str.len_bytes() < pl.col("alt").str.len_bytes())
    .then(pl.lit("insertion"))
    .when(pl.col("ref").str.len_bytes() > pl.col("alt").str.len_bytes())
    .then(pl.lit("deletion"))
    .when(pl.col("ref").str.len_bytes() == 1)
    .then(pl.lit("SNV"))
    .otherwise(pl.lit("MNV"))
)


@dataclass(frozen=True)
class Effects:
    """The dataset of variants of an extraction, with bounded memory.

    Attributes
    ----------
    counts : dict of str to int
        Number of variants by kind, each counted on one strand: `SNV`, `MNV` (several bases for as
        many), `insertion`, `deletion`.
    rows : int
        Rows of the dataset.
    joined : bool
        Whether a row is the mean of both strands.
    layer : str
        The layer of `largest`, the last one; or `scores`.
    by : str
        The column that says how large an effect is: `llr` if there are scores, else the distance.
    largest : DataFrame
        The rows with the largest effect, that first: `genome`, `variant`, `id`, `strand`, `kind`,
        and of `llr` and the distance those that there are.
    llr : dict of str to ndarray
        By kind, the likelihood ratios of rows that are evenly spaced.
    distances : dict of str to ndarray
        By layer, the distances of these rows.
    drawn : int
        Number of these rows.
    """

    counts: dict[str, int]
    rows: int
    joined: bool
    layer: str
    by: str
    largest: pl.DataFrame
    llr: dict[str, np.ndarray]
    distances: dict[str, np.ndarray]
    drawn: int


def read_effects(result: Result, points: int) -> Effects | None:
    """The effects of the variants of an extraction; None without a dataset of variants.

    Parameters
    ----------
    result : Result
    points : int
        Number of rows for distributions.
    """
    datasets = {layer: _open(result, layer) for layer in result.variants}
    if not datasets:
        return None
    layer, last = list(datasets.items())[-1]
    values = [name for name in (LLR, DISTANCE) if name in last.schema.names]
    chosen = evenly(last.rows, points)
    counts, largest, sampled = Counter(), None, []
    keys = ["genome", "contig", "variant", "id", "ref", "alt", "strand"]
    for first, rows in _batches(last, [*keys, *values]):
        rows = rows.with_columns(kind=_KIND).drop("contig", "ref", "alt")
        counts.update(Counter(rows.select("strand", "kind").iter_rows()))
        near = rows if largest is None else pl.concat([largest, rows])
        largest = near.sort(pl.col(values[0]).abs(), descending=True, maintain_order=True)
        largest = largest.head(LARGEST)
        sampled.append(_at(rows.select("kind", *values), chosen, first))
    drawn = pl.concat(sampled)
    strand = min(strand for strand, _ in counts)  # + comes before -
    llr = {}
    if LLR in values:
        llr = {kind: drawn.filter(kind=kind)[LLR].to_numpy() for _, kind in counts}
    distances = {
        name: _distances(each, chosen) for name, each in datasets.items() if each is not last
    }
    distances |= {layer: drawn[DISTANCE].to_numpy()} if DISTANCE in values else {}
    return Effects(
        {kind: number for (side, kind), number in counts.most_common() if side == strand},
        last.rows,
        result.variants[layer]["strands"] == "mean",
        layer,
        values[0],
        largest,
        llr,
        distances,
        len(drawn),
    )


def summary_lines(name: str, effects: Effects) -> list[str]:
    """The variants of an extraction for the summary: how many, and those with the largest effect.

    Parameters
    ----------
    name : str
        Of the extraction.
    effects : Effects
    """
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in effects.counts.items())
    rows = [
        {
            "largest effect": shown(row["variant"], _NAME),
            "id": shown(row["id"] or "-", _NAME // 2),
            "strand": "both" if effects.joined else row["strand"],
            "llr" if effects.by == LLR else "distance": f"{row[effects.by]:.4g}",
        }
        for row in effects.largest.head(_IN_SUMMARY).iter_rows(named=True)
    ]
    number = sum(effects.counts.values())
    return [wrapped(f"variants of {name}: {number:,} ({kinds})"), text_table(rows, 3), ""]


def _open(result: Result, layer: str) -> AllelesDataset:
    path = result.folder.parent.parent / "variants" / result.name / f"{layer}.json"
    return AllelesDataset(path, read_json(path))


def _batches(dataset: AllelesDataset, columns: list[str]) -> Iterator[tuple[int, pl.DataFrame]]:
    """Rows in their order, many at once, and the index of the first of them."""
    first, held = 0, []
    for table in dataset.row_groups(columns):
        held.append(table)
        if sum(map(len, held)) >= _BATCH:
            rows = to_polars(pa.concat_tables(held))
            yield first, rows
            first, held = first + len(rows), []
    if held:
        yield first, to_polars(pa.concat_tables(held))


def _at(rows: pl.DataFrame, chosen: np.ndarray, first: int) -> pl.DataFrame:
    """Those of the chosen rows of a dataset that are in a batch."""
    return rows[chosen[(chosen >= first) & (chosen < first + len(rows))] - first]


def _distances(dataset: AllelesDataset, chosen: np.ndarray) -> np.ndarray:
    columns, values = ["genome", "contig", DISTANCE], []
    for first, rows in _batches(dataset, columns):
        values.append(_at(rows, chosen, first)[DISTANCE].to_numpy())
    return np.concatenate(values)
