"""The kinds of datasets: embeddings, scores, variants, heads. A record tells its kind."""

from pathlib import Path

import pyarrow as pa

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.heads import HeadDataset
from evo2_embed.embed.row_spans import DOWNSTREAM
from evo2_embed.io.tables import LABEL, scores_schema

PARTS = ("", f"_{DOWNSTREAM}")  # of the window of a variant: all of it, and from the variant on


def open_dataset(path: str | Path) -> Dataset:
    """Open a dataset of any kind from its record.

    Raises
    ------
    InputError
        If the record is missing, damaged or edited.
    """
    dataset = Dataset.open(path)
    if "head" in dataset.record:
        return HeadDataset(dataset.path, dataset.record)
    if "dtype" in dataset.record:
        return dataset
    kind = ScoresDataset if "bits_per_base" in dataset.record else AllelesDataset
    return kind(dataset.path, dataset.record)


class ScoresDataset(Dataset):
    """The dataset of scores, with the keys of other datasets; it has no vectors."""

    @property
    def schema(self) -> pa.Schema:
        """Columns: `tables.KEYS` and `tables.SCORE_COLUMNS`; also `tables.OF_VARIANT` if some rows
        are of variants."""
        return scores_schema(variants=self.has_variants)

    @property
    def vector_column(self) -> None:
        """None: it has no vectors."""
        return None


class AllelesDataset(Dataset):
    """The dataset of variants of a layer, or of scores alone."""

    @property
    def schema(self) -> pa.Schema:
        """Columns: see `alleles_schema`."""
        scores = self.record["settings"]["extraction"].get("scores", False)
        return alleles_schema(self.record.get("width"), scores)

    @property
    def vector_column(self) -> str | None:
        """Column of the vectors; None if there are likelihoods only."""
        return "delta" if "width" in self.record else None


def alleles_schema(width: int | None, scores: bool) -> pa.Schema:
    """Columns of the dataset of variants: a row per variant, and per strand if these are kept.

    `delta` is the alternate's embedding less the reference's, and `llr` the log-likelihood of the
    alternate's bases less that of the reference's. Columns that end in `_downstream` are over the
    bases from the variant on, in the direction of the strand; the others are those of the rows.
    `cosine` is null if an embedding is zero. With both strands in a row, embeddings and
    log-likelihoods are the means of both, and all columns are computed from these.

    Parameters
    ----------
    width : int or None
        Dimensions of a vector; None if there are no embeddings.
    scores : bool
        Whether there are likelihoods.
    """
    fields = [
        pa.field("variant", pa.string(), nullable=False),
        pa.field("id", pa.string()),
        pa.field("genome", LABEL, nullable=False),
        pa.field("contig", LABEL, nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("ref", pa.string(), nullable=False),
        pa.field("alt", pa.string(), nullable=False),
        pa.field("strand", pa.string(), nullable=False),
    ]
    numbers = {"llr": pa.float64()} if scores else {}
    if width is not None:
        delta = pa.list_(pa.field("item", pa.float32(), nullable=False), width)
        numbers = {"delta": delta, "cosine": pa.float64(), "euclidean": pa.float64(), **numbers}
    fields += [
        pa.field(f"{name}{part}", kind, nullable=name == "cosine")
        for name, kind in numbers.items()
        for part in PARTS
    ]
    return pa.schema(fields)
