"""The dataset of scores: how likely the model finds the bases of each row."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from evo2_embed.dataset.bundles import write_record
from evo2_embed.dataset.checked import CheckedBundle
from evo2_embed.dataset.join import join_bundles
from evo2_embed.dataset.part_files import write_parts
from evo2_embed.dataset.part_names import parts_folder
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.dataset.strands import join_strands
from evo2_embed.io.row_checks import check_scores
from evo2_embed.io.tables import KEYS, metadata_schema, scores_schema
from evo2_embed.settings.extraction import SCORES


def bits_per_base(mean: np.ndarray) -> np.ndarray:
    """Bits per base, from means of log p."""
    return -mean / math.log(2)


def score_bundle(files: BundleFiles, settings: dict, record: str, genomes: list[list] = ()) -> None:
    """Write the part files of a bundle for the scores of an extraction.

    Parameters
    ----------
    files : BundleFiles
    settings : dict
        `embed`, the settings of the shards, `strands` and `code`; with rows of variants anywhere in
        the run also `variants`.
    record : str
        JSON file to write last, see `bundles.write_record`.
    genomes : list of list
        Rows of the sheet of the bundle, for the record.

    Raises
    ------
    InputError
        See `aggregate_bundle`; with `strands: mean` also if rows have no partner on the other
        strand.
    """
    checked, total = CheckedBundle.open(files, settings), _Total()
    rows, metadata = checked.rows(SCORES), checked.metadata(SCORES)
    if settings["strands"] == "mean":
        rows = _joined(rows)
    schema = metadata_schema(scores_schema(variants=checked.has_variants), metadata)
    parts = write_parts(parts_folder(record, SCORES), total.watch(rows), schema, 1)
    entry = {
        "digest": metadata["digest"],
        "self_check": metadata["self_check"],
        "log_p": total.log_p,
        "scored": total.scored,
        "parts": parts,
        "levels": {},
    }
    write_record(record, {**checked.described, "genomes": genomes}, {SCORES: entry})


def join_scores(records: list[str], settings: dict, record: str) -> dict:
    """Join the bundles of an extraction to its dataset of scores, see `join_bundles`. Its record
    has `bits_per_base`, over all scored bases."""

    def entries(known: list[dict]) -> dict:
        log_p, scored = (sum(entry[key] for entry in known) for key in ("log_p", "scored"))
        bits = float(f"{bits_per_base(log_p / scored):.6g}") if scored else None
        return {"strands": settings["strands"], "bits_per_base": bits}

    return join_bundles(records, SCORES, settings, record, entries)


@dataclass
class _Total:
    """The scores of the rows of a bundle; a base in several rows counts several times."""

    log_p: float = 0.0
    scored: int = 0

    def watch(self, tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """The same tables; each is added."""
        for table in tables:
            self.log_p += float(table["sum"].to_numpy().sum())
            self.scored += int(table["scored"].to_numpy().sum())
            yield table


def _joined(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """The rows with the mean of both strands."""
    batches = (
        (table.select([*KEYS, "scored"]), _sums_and_means(table)) for table in tables if len(table)
    )
    for keys, values in join_strands(batches, "mean"):
        sums, means = values.T
        scores = {"sum": pa.array(sums), "mean": pa.array(means, mask=np.isnan(means))}
        columns = {name: keys[name] for name in keys.column_names} | scores
        schema = scores_schema()
        joined = pa.table({name: columns[name] for name in schema.names}, schema=schema)
        yield check_scores(joined, SCORES)


def _sums_and_means(table: pa.Table) -> np.ndarray:
    """float64, (n, 2); NaN where no base was scored."""
    columns = (table[name].to_numpy() for name in ("sum", "mean"))
    return np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
