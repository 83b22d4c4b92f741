"""A pack file to the rows of its shard in the training set."""

from pathlib import Path

import numpy as np

from evo2_embed.finetune.forms import SCHEMAS, encodings, packed_rows, padded_rows
from evo2_embed.finetune.segments import Segments, read_shard
from evo2_embed.finetune.split import PARTS, SPLITS, open_split
from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import atomic_directory, write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import PACKS, metadata_schema, open_table, table_writer
from evo2_embed.pack.fit import first_fit
from evo2_embed.pack.metadata import read_metadata
from evo2_embed.pack.rows import PADS

RECORD = "export.json"


def export_shard(packs: str, blocks: str, settings: dict, output: str) -> dict:
    """Write the rows of a shard: one file per form and part with rows, and their record.

    Parameters
    ----------
    packs : str
        The pack file.
    blocks : str
        The run's table of blocks (`split.BLOCKS`).
    settings : dict
        `pad_token` and `code`.
    output : str
        Folder; it is replaced as a whole.

    Returns
    -------
    dict
        The record: settings, digest, the shard's range of chunks, `parts` (chunks of each), and per
        form and split the file, its rows, tokens, bytes and digest.

    Raises
    ------
    InputError
        If packs and blocks are from different chunk tables.
    """
    file = open_table(packs, PACKS)
    origin = read_metadata(file)
    bos = origin.settings["packing"]["bos"]
    segments = read_shard(file, packs, bos)
    split, made_from = open_split(blocks, set(segments.keys["genome"].unique()))
    if origin.chunks_digest not in made_from["chunks_digests"]:
        raise InputError(f"{packs}: made from another chunk table than {blocks}; rerun to redo it")
    metadata = {
        "settings": {**settings, "split": made_from["settings"]},
        "packing": origin.settings["packing"],
        "width": made_from["longest"] + int(bos),
        "blocks_digest": made_from["digest"],
        "digest": settings_digest([settings, origin.digest, made_from["digest"]]),
    }
    assigned = split.assign(segments.keys)
    record = {
        **metadata,
        "chunks_digest": origin.chunks_digest,
        "first_stretch": origin.first_stretch,
        "n_stretches": origin.n_stretches,
        "n_chunks": origin.n_chunks,
        "parts": {part: int((assigned == number).sum()) for number, part in enumerate(PARTS)},
    }
    with atomic_directory(output) as folder:
        members = {name: np.flatnonzero(assigned == i) for i, name in enumerate(SPLITS)}
        record["files"] = _write_forms(segments, members, metadata, folder)
        write_json(folder / RECORD, record)
    log.info("%s", record["parts"])
    return record


def _write_forms(
    segments: Segments, members: dict[str, np.ndarray], metadata: dict, folder: Path
) -> dict:
    """The files of each form and split with segments."""
    files = {form: {} for form in SCHEMAS}
    pad = PADS[metadata["settings"]["pad_token"].upper()]
    for name, mine in members.items():
        if not len(mine):
            continue
        lengths = segments.lengths[mine]
        packs = [mine[pack] for pack in first_fit(lengths, metadata["packing"]["max_tokens"])]
        tables = {
            "packed": packed_rows(segments, packs),
            "padded": padded_rows(segments, mine, metadata["width"], pad),
        }
        rows = {"packed": len(packs), "padded": len(mine)}
        for form, schema in SCHEMAS.items():
            path = folder / f"{form}-{name}.parquet"
            schema = metadata_schema(schema, {**metadata, "form": form, "part": name})
            with table_writer(path, schema, **encodings(schema)) as writer:
                for table in tables[form]:
                    writer.write_table(table.cast(schema), row_group_size=len(table))
            files[form][name] = {
                "file": path.name,
                "rows": rows[form],
                "tokens": int(lengths.sum()),
                "bytes": path.stat().st_size,
                "sha256": file_sha256(path),
            }
    return files
