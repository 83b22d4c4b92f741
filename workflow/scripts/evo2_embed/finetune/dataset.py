"""The rows of all shards to one training set: checked, counted, in folders for loaders."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from evo2_embed import __version__
from evo2_embed.dataset.shards import BundleFiles, Shard, check_ranges
from evo2_embed.finetune.card import card_text
from evo2_embed.finetune.forms import SCHEMAS
from evo2_embed.finetune.split import BLOCKS, PARTS, SPLITS
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import atomic_directory, atomic_path, write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import CHUNKS, open_table, table_metadata

CARD, SUMMARY = "README.md", "summary.json"

# Entries that are equal in all shards of a training set.
_SHARED = ("packing", "width")


def write_dataset(bundles: list[BundleFiles], blocks: str, settings: dict, output: str) -> dict:
    """Write a training set: `packed/`, `padded/`, `README.md` and, last, `summary.json`.

    The files of a split are `{split}-00000.parquet` and following, in the order of the shards that
    have rows of it. They are hard links to the shards' files if the file system supports links.

    Parameters
    ----------
    bundles : list of BundleFiles
        In the order of the sheet, with the records that `export_shard` wrote.
    blocks : str
        The run's table of blocks.
    settings : dict
        Required settings of the shards: `pad_token` and `code`.
    output : str
        Folder.

    Returns
    -------
    dict
        The summary.

    Raises
    ------
    InputError
        If a shard is missing, damaged, or has other settings or blocks, or if chunks are missing or
        occur twice.
    """
    table = open_table(blocks, BLOCKS)
    origin = table_metadata(table)
    by_bundle = [[Shard.open(bundle, path) for path in bundle.records] for bundle in bundles]
    for mine in by_bundle:
        check_ranges(mine)
    shards = [shard for mine in by_bundle for shard in mine]
    _check_shards(shards, origin, {**settings, "split": origin["settings"]})
    folder = Path(output)
    forms = {form: _write_form(shards, form, folder / form) for form in SCHEMAS}
    units = table.read(["split"])["split"].value_counts().to_pylist()
    summary = {
        "workflow": __version__,
        **_origins(bundles),
        **{key: shards[0].record[key] for key in ("settings", *_SHARED)},
        "blocks": {unit["values"]: unit["counts"] for unit in units},
        "chunks": origin["parts"],
        "tokens": {split: _total(shards, "padded", split, "tokens") for split in SPLITS},
        "forms": forms,
        "digest": settings_digest([shard.record["digest"] for shard in shards]),
    }
    with atomic_path(folder / CARD) as temporary:
        temporary.write_text(card_text(summary), encoding="utf-8")
    write_json(folder / SUMMARY, summary)
    for line in summary_lines(summary):
        log.info("%s", line)
    return summary


def summary_lines(summary: dict) -> list[str]:
    """Content of a training set: one line for its split and one line per form.

    Parameters
    ----------
    summary : dict
        Written by `write_dataset`: `chunks` (train, validation, left_out), `tokens` (train,
        validation), and `forms`: of `packed` and `padded` the `rows`, `width`, `padding_share` and
        `room_share`.
    """
    chunks, tokens = summary["chunks"], summary["tokens"]
    lines = [
        f"chunks: {chunks['train']:,} for training, {chunks['validation']:,} for validation, "
        f"{chunks['left_out']:,} too close to these; tokens: {tokens['train']:,} and "
        f"{tokens['validation']:,}"
    ]
    for name, form in summary["forms"].items():
        lines.append(
            f"{name}: {form['rows']['train']:,} and {form['rows']['validation']:,} rows of "
            f"{'at most ' if name == 'packed' else ''}{form['width']:,} tokens, "
            f"{form['padding_share']:.1%} padding, {form['room_share']:.1%} of capacity used"
        )
    return lines


def _check_shards(shards: list[Shard], origin: dict, settings: dict) -> None:
    first = shards[0].record
    for shard in shards:
        record = shard.record
        if record["settings"] != settings or record["blocks_digest"] != origin["digest"]:
            raise InputError(
                f"{shard.path}: made with another split or settings than this run; delete "
                f"{shard.path.parent} and rerun to redo it"
            )
        for key in _SHARED:
            if record[key] != first[key]:
                raise InputError(
                    f"{shard.path}: {key} differs from that of {shards[0].path}; delete the older "
                    "of the two folders and rerun"
                )
    for part in PARTS:
        found, wanted = sum(shard.record["parts"][part] for shard in shards), origin["parts"][part]
        if found != wanted:
            raise InputError(
                f"{shards[0].path}: all shards have {found} chunks of the part '{part}', but "
                f"the split says {wanted}; delete {shards[0].path.parents[2]} and rerun"
            )


def _write_form(shards: list[Shard], form: str, output: Path) -> dict:
    """Link the files of a form into its folder; returns their counts."""
    files = {}
    with atomic_directory(output) as folder:
        for split in SPLITS:
            for number, (source, entry) in enumerate(_files(shards, form, split)):
                open_table(source, SCHEMAS[form], entry["sha256"], source.parent)
                name = f"{split}-{number:05d}.parquet"
                _link(source, folder / name)
                files[name] = {key: entry[key] for key in ("rows", "tokens", "bytes", "sha256")}
    rows = {split: _total(shards, form, split, "rows") for split in SPLITS}
    tokens = sum(_total(shards, form, split, "tokens") for split in SPLITS)
    record = shards[0].record
    width = record["width"] if form == "padded" else record["packing"]["max_tokens"]
    room_share = tokens / (sum(rows.values()) * width)
    return {
        "rows": rows,
        "width": width,
        "padding_share": 1 - room_share if form == "padded" else 0.0,
        "room_share": room_share,
        "bytes": sum(file["bytes"] for file in files.values()),
        "files": files,
    }


def _files(shards: list[Shard], form: str, split: str) -> Iterator[tuple[Path, dict]]:
    """A form's files of a split, shard by shard, with their entries in the shards' records."""
    for shard in shards:
        entry = shard.record["files"][form].get(split)
        if entry is not None:
            yield shard.path.parent / entry["file"], entry


def _total(shards: list[Shard], form: str, split: str, key: str) -> int:
    return sum(entry[key] for _, entry in _files(shards, form, split))


def _link(source: Path, target: Path) -> None:
    """A hard link to a file, or a copy if the file system has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _origins(bundles: list[BundleFiles]) -> dict:
    """Inputs and settings of the chunks."""
    tables = [table_metadata(open_table(bundle.chunks, CHUNKS)) for bundle in bundles]
    return {
        "windows": tables[0]["settings"]["windows"],
        "genomes": [
            entry
            for table in tables
            for entry in table["inputs"]
            if entry["genome"] not in table.get("skipped", {})
        ],
    }
