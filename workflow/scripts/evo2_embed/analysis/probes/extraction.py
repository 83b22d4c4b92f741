"""All probes of one extraction: its layers, its fusions and the bases of comparison."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.analysis.probes.baselines import gc_kmers
from evo2_embed.analysis.probes.design import KEYS, Plan, made_with, plan_probe
from evo2_embed.analysis.probes.fusing import Strands, find_strands, fit_fusion, fused_vectors
from evo2_embed.analysis.probes.labels import GC_KMERS, SHUFFLED
from evo2_embed.analysis.probes.metrics import MAIN
from evo2_embed.analysis.probes.probe import cross_validate, permuted
from evo2_embed.analysis.probes.winner import beats, interval, judge
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import metadata_schema, table_writer

# One row a layer, metric and fold (from 0). Beside the layers and fusions: gc_kmers and
# shuffled_labels.
PROBES = pa.schema(
    [
        pa.field("layer", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("fold", pa.int32(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)

ONE_STRAND = "joins strands, and some of the probed rows have no row on the other strand"

Scores = dict[str, list[dict[str, float]]]


@dataclass
class _Work:
    """The datasets of an extraction, and what is probed of them."""

    datasets: dict[str, Dataset]
    keys: pl.DataFrame
    plan: Plan

    def vectors(self, layer: str, rows: np.ndarray) -> np.ndarray:
        """Vectors of some rows of a layer, (n, width)."""
        keys, values = self.datasets[layer].read_at(rows)
        if not keys.select(self.keys.columns).equals(self.keys[rows]):
            first = next(iter(self.datasets))
            raise InputError(
                f"{self.datasets[layer].path}: its rows are not those of {first}; delete both and "
                "rerun"
            )
        return values


def probe_extraction(
    records: dict[str, str],
    bundles: list[list[Genome]],
    settings: dict,
    indexes: str,
    table: str,
    record: str,
    fit: Callable = fit_fusion,
) -> dict:
    """Probe the layers and fusions of an extraction, and write what came of it.

    Parameters
    ----------
    records : dict of str to str
        By layer, the record of its dataset.
    bundles : list of list of Genome
    settings : dict
        `probe`, the section; `fusion`, the extraction's; `code`.
    indexes : str
        Folder with the indexes of genomes that stand alone.
    table : str
        Parquet file to write (`PROBES`).
    record : str
        JSON file to write: what was probed, means with intervals of the main metric, the winner.
    fit : function, optional
        In the place of `fusing.fit_fusion`.

    Raises
    ------
    InputError
        When the labels or the rows do not allow a probe, or a dataset is not as it was written.
    """
    probe = settings["probe"]
    datasets = {layer: Dataset.open(path) for layer, path in records.items()}
    keys = next(iter(datasets.values())).keys([*KEYS, "name"])
    genomes = [genome.name for bundle in bundles for genome in bundle]
    work = _Work(datasets, keys, plan_probe(keys, probe, genomes))
    scores, notes = _score_all(work, bundles, settings["fusion"], indexes, fit)
    made_from = {
        **made_with(settings),
        "datasets": {layer: dataset.record["digest"] for layer, dataset in datasets.items()},
    }
    _write_table(scores, made_from, table)
    result = {
        **work.plan.describe(probe["gap"]),
        **summarise(main_scores(scores, work.plan), work.plan.folds.test_share),
        "metric": MAIN[work.plan.kind],
        **notes,
        **made_from,
    }
    write_json(record, result)
    return result


def main_scores(scores: Scores, plan: Plan) -> dict[str, np.ndarray]:
    """The main metric of every layer, fold by fold."""
    metric = MAIN[plan.kind]
    return {name: np.array([fold[metric] for fold in folds]) for name, folds in scores.items()}


def summarise(scores: dict[str, np.ndarray], test_share: float) -> dict:
    """Means with intervals, and which layer or fusion is best.

    Parameters
    ----------
    scores : dict of str to ndarray of float64, (folds,)
        Of layers, fusions and bases of comparison.
    test_share : float

    Returns
    -------
    dict
        `scores` (mean, low, high of each), `best`, `winner` (None where the folds do not tell),
        `undecided` (those that the best cannot be told from), `beats_gc_kmers`.
    """
    candidates = {
        name: values for name, values in scores.items() if name not in (GC_KMERS, SHUFFLED)
    }
    verdict = judge(candidates, test_share)
    return {
        "scores": {name: interval(values, test_share) for name, values in scores.items()},
        "best": verdict.best,
        "winner": verdict.winner,
        "undecided": verdict.undecided,
        "beats_gc_kmers": beats(scores[verdict.best], scores[GC_KMERS], test_share),
    }


def _score_all(
    work: _Work, bundles: list[list[Genome]], fusions: dict, indexes: str, fit: Callable
) -> tuple[Scores, dict]:
    """Scores of layers, fusions and bases of comparison; and what has to be said of them."""
    plan = work.plan
    scores = _probe_layers(work)
    best = judge(main_scores(scores, plan), plan.folds.test_share).best
    fused, skipped = _probe_fusions(work, fusions, fit)
    scores |= fused
    scores[GC_KMERS] = _probe(GC_KMERS, plan, gc_kmers(plan.keys, bundles, indexes))
    chance = permuted(plan.labels, plan.folds)
    scores[SHUFFLED] = _probe(SHUFFLED, plan, work.vectors(best, plan.rows), chance)
    return scores, {"shuffled_layer": best, "skipped": skipped}


def _probe_layers(work: _Work) -> Scores:
    return {
        layer: _probe(layer, work.plan, work.vectors(layer, work.plan.rows))
        for layer in work.datasets
    }


def _probe_fusions(
    work: _Work, fusions: dict[str, dict], fit: Callable
) -> tuple[Scores, dict[str, str]]:
    """Scores of the fusions, and those that are left out, with the reason."""
    scores, skipped = {}, {}
    for name, fusion in fusions.items():
        strands = Strands(work.plan.rows, *[np.arange(len(work.plan.rows))] * 3)
        if fusion["strands"] != "keep":
            strands = find_strands(work.keys, work.plan.rows)
        if strands is None:
            skipped[name] = ONE_STRAND
            log.warning("fusion %s is not probed: it %s", name, ONE_STRAND)
            continue
        names = fusion["layers"] or list(work.datasets)
        layers = {layer: work.vectors(layer, strands.wanted) for layer in names}
        vectors = fused_vectors(layers, fusion, work.plan.labels, strands, fit)
        scores[name] = _probe(name, work.plan, vectors)
    return scores, skipped


def _probe(name: str, plan: Plan, vectors, labels: np.ndarray | None = None) -> list[dict]:
    """Scores of vectors, or of a function that gives them, fold by fold."""
    of_fold = vectors if callable(vectors) else lambda train: vectors
    folds = cross_validate(of_fold, plan.labels if labels is None else labels, plan.folds)
    log.info("%s: %s", name, {metric: [fold[metric] for fold in folds] for metric in folds[0]})
    return folds


def _write_table(scores: Scores, made_from: dict, path: str) -> None:
    rows = [
        {"layer": layer, "metric": metric, "fold": fold, "value": float(values[metric])}
        for layer, folds in scores.items()
        for metric in folds[0]
        for fold, values in enumerate(folds)
    ]
    schema = metadata_schema(PROBES, made_from)
    with table_writer(path, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema))
