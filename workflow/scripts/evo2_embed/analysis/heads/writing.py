"""The part files of a head: the head applied to the rows of a bundle, bounded in memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from evo2_embed.analysis.heads.files import HeadFile
from evo2_embed.analysis.heads.fits import check_fits
from evo2_embed.analysis.heads.head import Head
from evo2_embed.dataset.bundles import BundleRecord, write_record
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.heads import (
    CLASS,
    SPARSE,
    class_columns,
    head_schema,
    number_columns,
    sparse_columns,
)
from evo2_embed.dataset.join import join_datasets, kept_parts, shape_of
from evo2_embed.dataset.part_files import write_parts
from evo2_embed.dataset.part_names import parts_folder
from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.finite import NotFiniteError, as_stored
from evo2_embed.io.logs import log
from evo2_embed.io.tables import metadata_schema

# Entries of a head's metadata that its dataset's record keeps.
_SAID = ("model", "checkpoint_sha256", "precision", "labels_sha256", "rows")


@dataclass(frozen=True)
class _Work:
    """A head, its file and its settings, for the rows of a layer."""

    head: Head
    file: HeadFile
    settings: dict

    @property
    def kind(self) -> str:
        return SPARSE if self.settings["k"] else self.file.kind

    @property
    def width(self) -> int:
        """Numbers that are stored per row; of sparse heads at most so many."""
        return self.settings["k"] or self.file.outputs

    def columns(self, vectors: np.ndarray, schema: pa.Schema) -> list[pa.Array]:
        """The columns for some rows."""
        if self.kind == SPARSE:
            counts, features, values = self.head.features(vectors, self.settings["k"])
            return sparse_columns(counts, features, as_stored(values, np.float32), schema)
        if self.kind == CLASS:
            probabilities = as_stored(self.head.probabilities(vectors), np.float64)
            return class_columns(probabilities, list(self.file.classes))
        return number_columns(as_stored(self.head.linear(vectors), np.float32))

    def tables(self, dataset: Dataset, schema: pa.Schema) -> Iterator[pa.Table]:
        """All rows of a dataset."""
        for table in dataset.row_groups():
            for first in range(0, len(table), self.head.rows_at_once):
                rows = table.slice(first, self.head.rows_at_once)
                try:
                    made = self.columns(dataset.vectors(rows), schema)
                except NotFiniteError as error:
                    name = self.settings["name"]
                    raise InputError(f"head '{name}': {error} in {len(error.rows)} rows") from None
                keys = rows.drop_columns(["embedding"]).columns
                yield pa.table([*keys, *made], schema=schema)


def apply_bundle(
    layer: str, bundles: list[str], settings: dict, file: str, record: str, applied: str
) -> None:
    """Write the part files of a bundle for a head.

    Those that the head's dataset has already are kept if they were made from the same rows with
    the same head.

    Parameters
    ----------
    layer : str
        Record of the dataset that the head reads.
    bundles : list of str
        Records of the bundle; one of them has that dataset.
    settings : dict
        `name`, `layer`, `k`, `threshold` and `code`.
    file : str
        The head, see `files`.
    record : str
        JSON file to write last, see `bundles.write_record`.
    applied : str
        Record of the head's dataset; may be missing.

    Raises
    ------
    InputError
        If the head is damaged or of another layer or model, or the dataset is damaged.
    """
    records = [BundleRecord.open(path) for path in bundles]
    mine = next(each for each in records if settings["layer"] in each.record["datasets"])
    dataset = Dataset.open(layer).of_bundle(mine.bundle)
    opened, sha256 = HeadFile.open(file), file_sha256(file)
    check_fits(opened, dataset, mine.record)
    digest = settings_digest([settings, sha256, mine.dataset(dataset.name)["digest"]])
    parts, name = kept_parts(applied, mine.bundle, digest), settings["name"]
    work = _Work(_loaded(opened, settings), opened, settings)
    described = {**settings, "kind": work.kind, "classes": list(opened.classes), "sha256": sha256}
    if parts is None:
        columns = head_schema(work.kind, work.width, described["classes"], dataset.has_variants)
        schema = metadata_schema(columns, {**mine.origin, "head": described, "digest": digest})
        with threadpool_limits(1):  # the last bit of a sum may depend on the number of threads
            rows = work.tables(dataset, schema)
            parts = write_parts(parts_folder(record, name), rows, schema, _numbers(work))
    else:
        log.info("%s: the rows of %s did not change; kept", name, mine.bundle)
    said = {key: opened.said(key) for key in _SAID if opened.said(key) is not None}
    entry = {"digest": digest, "width": work.width, "dtype": "float32", "parts": parts}
    made = {"head": {**described, "outputs": opened.outputs, "metadata": said}, "digest": digest}
    write_record(record, {**mine.origin, **made}, {name: {**entry, "levels": {}}})


def _numbers(work: _Work) -> int:
    """Numbers per row, for the size of row groups; columns of their own are counted by type."""
    return 1 if work.kind == CLASS else work.width


def _loaded(file: HeadFile, settings: dict) -> Head:
    head, threshold = Head.load(file), settings["threshold"]
    return head if threshold is None else head.with_threshold(threshold)


def apply_heads(layer: str, bundles: list[str], settings: dict, file: str, record: str) -> dict:
    """Join the bundles of a head to its dataset.

    Parameters
    ----------
    layer : str
        Record of the dataset that the head reads.
    bundles : list of str
        Records that `apply_bundle` wrote, in the order of the sheet.
    settings : dict
        As for `apply_bundle`.
    file : str
        The head.
    record : str
        Record of the dataset, see `join.join_bundles`.

    Raises
    ------
    InputError
        If a bundle was made with another head, or if a part file is missing.
    """
    records = [BundleRecord.open(path) for path in bundles]
    sha256, name = file_sha256(file), settings["name"]
    for each in records:
        if each.record["head"]["sha256"] != sha256:
            raise InputError(
                f"{each.path}: made with another head than {file}; delete {each.path} and rerun "
                "to redo it"
            )
    read = Dataset.open(layer).record["digest"]
    entries = {
        "head": records[0].record["head"],
        "digest": settings_digest([settings, sha256, read]),
        **shape_of([each.dataset(name) for each in records]),
    }
    return join_datasets(records, name, record, entries)
