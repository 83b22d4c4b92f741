"""All probes of one extraction: its layers, its fusions and the baselines."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.analysis.probes.baselines import gc_kmers
from evo2_embed.analysis.probes.design import KEYS, Design, design_probe
from evo2_embed.analysis.probes.fusing import Strands, find_strands, fit_or_load, fused_vectors
from evo2_embed.analysis.probes.labels import GC_KMERS, SHUFFLED
from evo2_embed.analysis.probes.metrics import MAIN
from evo2_embed.analysis.probes.origin import made_from, without_paths
from evo2_embed.analysis.probes.probe import cross_validate, permuted
from evo2_embed.analysis.probes.winner import beats, interval, judge
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import metadata_schema, table_writer
from evo2_embed.settings.analyses import Probe
from evo2_embed.settings.extraction import Fusion

# One row per layer, metric and fold (counted from 0). `layer` is a layer, a fusion, or one of the
# baselines gc_kmers and shuffled_labels.
PROBES = pa.schema(
    [
        pa.field("layer", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("fold", pa.int32(), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
    ]
)

ONE_STRAND = "joins strands, and some probed rows have no partner on the other strand"

Scores = dict[str, list[dict[str, float]]]


@dataclass
class _Work:
    """The datasets of an extraction, the keys of all rows, and the design of the probe."""

    datasets: dict[str, Dataset]
    keys: pl.DataFrame
    design: Design

    def vectors(self, layer: str, rows: np.ndarray) -> np.ndarray:
        """Embeddings of rows of a layer: float32, (n, width)."""
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
    probe: Probe,
    fusions: dict[str, Fusion],
    code: int,
    indexes: str,
    table: str,
    record: str,
    fit: Callable = fit_or_load,
) -> dict:
    """Probe the layers and fusions of an extraction, and write the scores and a record.

    Parameters
    ----------
    records : dict of str to str
        By layer, the record of its dataset.
    bundles : list of list of Genome
    probe : Probe
        Complete settings.
    fusions : dict of str to Fusion
        Fusions of the extraction, by name.
    code : int
        Version of the code, for the record.
    indexes : str
        Folder that keeps FASTA indexes (`fasta.index_folder`).
    table : str
        Parquet file to write (`PROBES`).
    record : str
        JSON file to write: the design, means with confidence intervals of the main metric, the
        winner.
    fit : function, optional
        Replaces `fusing.fit_or_load`.

    Raises
    ------
    InputError
        If the labels or the rows do not allow a probe, or a dataset is damaged.
    """
    datasets = {layer: Dataset.open(path) for layer, path in records.items()}
    keys = next(iter(datasets.values())).keys([*KEYS, "name"])
    genomes = [genome.name for bundle in bundles for genome in bundle]
    design = design_probe(keys, probe, genomes)
    scores, notes = _score_all(_Work(datasets, keys, design), bundles, fusions, indexes, fit)
    made = {
        **made_from(code, probe, fusion=without_paths(fusions)),
        "datasets": {layer: dataset.record["digest"] for layer, dataset in datasets.items()},
    }
    _write_table(scores, made, table)
    result = {
        **design.describe(probe.gap),
        **summarise(main_scores(scores, design), design.folds.test_share),
        "metric": MAIN[design.kind],
        **notes,
        **made,
    }
    write_json(record, result)
    return result


def main_scores(scores: Scores, design: Design) -> dict[str, np.ndarray]:
    """The main metric of every layer, one value per fold: ndarrays of float64, (folds,)."""
    metric = MAIN[design.kind]
    return {name: np.array([fold[metric] for fold in folds]) for name, folds in scores.items()}


def summarise(scores: dict[str, np.ndarray], test_share: float) -> dict:
    """Means with confidence intervals, and the best layer or fusion.

    Parameters
    ----------
    scores : dict of str to ndarray of float64, (folds,)
        Of layers, fusions and baselines.
    test_share : float
        Tested rows per training row.

    Returns
    -------
    dict
        `scores` (mean, low, high of each), `best`, `winner` (None if no layer is significantly
        better than all others), `undecided` (those that the best is not significantly better
        than), `beats_gc_kmers`.
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
    work: _Work,
    bundles: list[list[Genome]],
    fusions: dict[str, Fusion],
    indexes: str,
    fit: Callable,
) -> tuple[Scores, dict]:
    """Scores of layers, fusions and baselines; and the entries of the record that explain them."""
    design = work.design
    scores = {
        layer: _probe(layer, work, work.vectors(layer, design.rows)) for layer in work.datasets
    }
    best = judge(main_scores(scores, design), design.folds.test_share).best
    fused, skipped = _probe_fusions(work, fusions, fit)
    scores |= fused
    scores[GC_KMERS] = _probe(GC_KMERS, work, gc_kmers(design.keys, bundles, indexes))
    shuffled = permuted(design.labels, design.folds)
    scores[SHUFFLED] = _probe(SHUFFLED, work, work.vectors(best, design.rows), shuffled)
    return scores, {"shuffled_layer": best, "skipped": skipped}


def _probe_fusions(
    work: _Work, fusions: dict[str, Fusion], fit: Callable
) -> tuple[Scores, dict[str, str]]:
    """Scores of the fusions, and the reason for each fusion that is left out."""
    scores, skipped = {}, {}
    rows = work.design.rows
    for name, fusion in fusions.items():
        strands = Strands(rows, *[np.arange(len(rows))] * 3)
        if fusion.strands != "keep":
            strands = find_strands(work.keys, rows)
        if strands is None:
            skipped[name] = ONE_STRAND
            log.warning("fusion %s is not probed: it %s", name, ONE_STRAND)
            continue
        names = fusion.layers or list(work.datasets)
        layers = {layer: work.vectors(layer, strands.rows) for layer in names}
        vectors = fused_vectors(layers, fusion, work.design.labels, strands, fit)
        scores[name] = _probe(name, work, vectors)
    return scores, skipped


def _probe(name: str, work: _Work, vectors, labels: np.ndarray | None = None) -> list[dict]:
    """Scores of vectors, or of a function that gives them, one dict per fold."""
    design = work.design
    of_fold = vectors if callable(vectors) else lambda train: vectors
    folds = cross_validate(of_fold, design.labels if labels is None else labels, design.folds)
    log.info("%s: %s", name, {metric: [fold[metric] for fold in folds] for metric in folds[0]})
    return folds


def _write_table(scores: Scores, made: dict, path: str) -> None:
    rows = [
        {"layer": layer, "metric": metric, "fold": fold, "value": float(values[metric])}
        for layer, folds in scores.items()
        for metric in folds[0]
        for fold, values in enumerate(folds)
    ]
    schema = metadata_schema(PROBES, made)
    with table_writer(path, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema))
