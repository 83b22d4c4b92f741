"""The dataset of scores: how likely the model finds the bases of each row."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from evo2_embed.dataset.aggregate import merge_bundles
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.part_files import PartWriter
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.dataset.strands import join_strands
from evo2_embed.io.files import atomic_directory, write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import KEYS, check_scores, metadata_schema, scores_schema
from evo2_embed.settings.sections import SCORES


class ScoresDataset(Dataset):
    """The dataset of scores, with the keys of other datasets; it has no vectors."""

    @property
    def schema(self) -> pa.Schema:
        """Columns: `tables.KEYS` and `tables.SCORE_COLUMNS`; also `tables.OF_VARIANT` if some rows
        are of variants."""
        return scores_schema(variants=self.has_variants)


def bits_per_base(mean: np.ndarray) -> np.ndarray:
    """Bits per base, from means of log p."""
    return -mean / math.log(2)


def aggregate_scores(bundles: list[BundleFiles], settings: dict, record: str) -> dict:
    """Write the dataset of scores of an extraction.

    Parameters
    ----------
    bundles : list of BundleFiles
        In the order of the sheet.
    settings : dict
        `embed`, the settings of the shards, `strands` and `code`.
    record : str
        JSON file to write last: part files with rows and digests, settings and inputs, and
        `bits_per_base`, over all scored bases. The folder of the same name is replaced as a whole.

    Raises
    ------
    InputError
        See `aggregate_layer`; with `strands: mean` also if rows have no partner on the other
        strand.
    """
    merged = merge_bundles(bundles, SCORES, settings)
    rows, total = merged.rows, _Total()
    if settings["strands"] == "mean":
        rows = _joined(rows)
    schema = metadata_schema(scores_schema(variants=merged.has_variants), merged.metadata)
    with atomic_directory(record.removesuffix(".json")) as folder:
        writer = PartWriter(folder, schema, 1)
        for table in rows:
            total.add(table)
            writer.add(table)
        writer.close()
    result = {
        **merged.metadata,
        "strands": settings["strands"],
        "rows": sum(part["rows"] for part in writer.files),
        "bits_per_base": total.bits_per_base,
        "parts": writer.files,
        "levels": {},
    }
    write_json(record, result)
    log.info("scores: %d rows in %d part files", result["rows"], len(writer.files))
    return result


@dataclass
class _Total:
    """The scores of all rows; a base in several rows counts several times."""

    log_p: float = 0.0
    scored: int = 0

    def add(self, table: pa.Table) -> None:
        self.log_p += float(table["sum"].to_numpy().sum())
        self.scored += int(table["scored"].to_numpy().sum())

    @property
    def bits_per_base(self) -> float | None:
        if not self.scored:
            return None
        return float(f"{bits_per_base(self.log_p / self.scored):.6g}")


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
