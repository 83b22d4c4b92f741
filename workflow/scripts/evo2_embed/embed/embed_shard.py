"""One embedding job: the pack file of a shard in, one Parquet file per layer (and of scores) out.

The order of the work, and where to read on:

    pack/read.py     keys of the chunks; segments and tokens of the packs
    rows.py          the rows that the chunks have, and their final order
    row_spans.py     which tokens of a pack belong to which rows
    store.py         the rows on disk (row_files.py), and what an earlier job left
    shard_files.py   the layers' files at the end
    run_packs.py     the engine, and the loop: pack -> token embeddings -> rows -> store
"""

import os
import resource
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch

from evo2_embed import __version__
from evo2_embed.embed.row_files import Column
from evo2_embed.embed.row_spans import DOWNSTREAM, RowLocator, tokens_of
from evo2_embed.embed.rows import ShardRows
from evo2_embed.embed.run_packs import prepare_engine, run_packs
from evo2_embed.embed.shard_files import write_shard
from evo2_embed.embed.store import JOURNAL, RowStore, StoreContents
from evo2_embed.embed.watchdog import Watchdog
from evo2_embed.engine.memory import map_large_blocks, use_expandable_segments
from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import check_write, read_json, remove, shard_entries, write_json
from evo2_embed.io.locks import exclusive
from evo2_embed.io.logs import log
from evo2_embed.io.tables import PACKS, open_table
from evo2_embed.model.import_evo2 import choose_device, hide_network
from evo2_embed.model.loading import package_versions
from evo2_embed.model.registry import layer_widths
from evo2_embed.model.weights import check_weights
from evo2_embed.pack.metadata import PackMetadata, read_metadata, shard_id_of
from evo2_embed.pack.read import (
    forks_in,
    has_variants,
    read_chunk_keys,
    read_pack_segments,
    read_packs,
)
from evo2_embed.settings.extraction import SCORES, Extraction
from evo2_embed.settings.jobs import Runtime

# The work folder of a shard, beside its record, and the lock in it.
WORK, LOCK = ".work", "lock"


def embed_shard(
    packs: str,
    model: str,
    checkpoint: Path,
    settings: dict,
    runtime: Runtime,
    record: str,
    speed: str,
) -> None:
    """Run the packs of a shard through the model and write one Parquet file per layer, and one of
    scores if they are asked for.

    Finished packs are kept in a work folder beside the record until the shard is complete, so a
    killed job resumes. A lock prevents two processes from working on one shard: the second one
    waits, and continues from what the first one left.

    Parameters
    ----------
    packs : str
        The pack file.
    model : str
        The record that `weights.fetch_model` wrote: the digest of the weights.
    checkpoint : Path
        The weights.
    settings : dict
        What the embeddings depend on beside packs and weights: `extraction` (an entry of the
        section `extractions`, complete, without `levels` and `fusion`), `cpu_threads` and `code`.
    runtime : Runtime
        `device`, `kv_device`, `kernels`, `checkpoint_every` and `hang_after` are used. A kill costs
        at most the work since the last save, and the earlier segments of unfinished stretches.
    record : str
        JSON file, written last: the shard's files with their digests, and what they were made
        from. The files are written beside it as `{layer}.parquet`.
    speed : str
        JSON file for what differs from run to run: time, memory, device, host.

    Raises
    ------
    InputError
        If the pack file is damaged or belongs to another shard, or if the machine or the weights
        do not fit the settings.
    Stopped
        If a signal asked the job to stop.
    """
    hide_network()
    use_expandable_segments()
    torch.set_num_threads(settings["cpu_threads"])
    device = choose_device(runtime.device, settings["extraction"]["precision"])
    map_large_blocks()
    shard = _open_shard(packs, model, checkpoint, settings, Path(record).parent)
    with exclusive(shard.work / LOCK, runtime.hang_after):
        # This process may have waited long; a job of a later run may have finished the shard.
        _check_still_wanted(shard.work)
        if _is_finished(record, speed, shard.metadata):
            log.info("another process finished this shard in the meantime")
        else:
            with Watchdog(runtime.hang_after) as watchdog:
                _remove_leftovers(shard.folder)
                result, seconds = _embed(shard, runtime, watchdog.beat)
            write_json(speed, _speed(shard.origin.n_tokens, seconds, device))
            write_json(record, result)
        # Another process may wait for the lock in this folder; it removes the folder again.
        remove(shard.work)


@dataclass(frozen=True)
class _Shard:
    """What the job reads, and where it writes.

    Attributes
    ----------
    packs : str
        Path of the pack file.
    file : ParquetFile
        The pack file, open.
    origin : PackMetadata
        Its metadata.
    checkpoint : Path
        The weights.
    extraction : Extraction
    metadata : dict
        What the shard is made from: the metadata of its files.
    folder : Path
    """

    packs: str
    file: pq.ParquetFile
    origin: PackMetadata
    checkpoint: Path
    extraction: Extraction
    metadata: dict
    folder: Path

    @property
    def work(self) -> Path:
        """The work folder."""
        return self.folder / WORK


def _open_shard(packs: str, model: str, checkpoint: Path, settings: dict, folder: Path) -> _Shard:
    """Check the inputs of the job."""
    file = open_table(packs, PACKS)
    weights_sha256 = check_weights(checkpoint, model)
    origin = read_metadata(file)
    if origin.shard_id != shard_id_of(packs):
        raise InputError(
            f"{packs}: holds the packs of another shard ({origin.shard_id}); "
            f"delete {packs} and rerun to redo it"
        )
    metadata = {
        "settings": settings,
        "digest": settings_digest([settings, origin.digest, weights_sha256]),
        "packs_digest": origin.digest,
        "packing": origin.settings,
        "chunks_digest": origin.chunks_digest,
        **origin.counts(),
        "checkpoint_sha256": weights_sha256,
        "packages": package_versions(),
        "self_check": None,
        "workflow": __version__,
        **({"variants": True} if has_variants(file) else {}),
    }
    extraction = Extraction.from_dict(settings["extraction"])
    return _Shard(packs, file, origin, checkpoint, extraction, metadata, folder)


def _check_still_wanted(work: Path) -> None:
    """Check that the job may write, see `files.checked_writes`. The lock made the work folder; it
    is removed if the job may not, and no other job has saved work in it."""
    try:
        check_write()
    except InputError:
        if not (work / JOURNAL).exists():
            remove(work)
        raise


def _is_finished(record: str, speed: str, metadata: dict) -> bool:
    """Whether the shard is complete, undamaged and made from the same inputs."""
    if not (Path(record).exists() and Path(speed).exists()):
        return False
    try:
        known = read_json(record)
        read_json(speed)
    except InputError:
        return False
    folder = Path(record).parent
    return all(
        known[key] == value for key, value in metadata.items() if key != "self_check"
    ) and all(
        (folder / entry["file"]).exists() and file_sha256(folder / entry["file"]) == entry["sha256"]
        for entry in shard_entries(known)
    )


def _embed(shard: _Shard, runtime: Runtime, beat: Callable[[], None]) -> tuple[dict, float]:
    """Write the files of all layers; the shard's record, and the seconds that the packs took."""
    extraction, metadata = shard.extraction, shard.metadata
    rows = ShardRows(read_chunk_keys(shard.file), extraction.pooling, extraction.skip_first)
    bos = int(shard.origin.settings["packing"]["bos"])
    contents = StoreContents(
        key=settings_digest([metadata, file_sha256(shard.packs)]),
        rows=rows,
        columns=_columns(extraction, metadata.get("variants", False)),
        n_tokens=shard.origin.n_tokens,
    )
    with RowStore(shard.work, contents, runtime.checkpoint_every, beat) as store:
        if shard.origin.n_packs:
            segments = read_pack_segments(shard.file)
            forks = forks_in(segments)
            locator = RowLocator(rows, extraction.pooling, bos, forks)
            known = [pack for pack in store.done if pack in segments]
            store.keep_whole(
                {
                    pack: {
                        name: locator.ended(*_tokens(segments[pack]), tokens_of(name)[1])
                        for name in store.columns
                    }
                    for pack in known
                }
            )
            engine, self_check = prepare_engine(
                extraction, shard.checkpoint, runtime, forks=len(forks) > 0
            )
            metadata = {**metadata, "self_check": self_check}
            beat()
            run_packs(read_packs(shard.file, shard.packs), segments, locator, engine, store)
        return {**metadata, **write_shard(store, shard.folder, metadata, bos)}, store.seconds


def _tokens(segments: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """Which tokens the segments of a pack are, as `RowLocator` takes them."""
    return segments["stretch"], segments["offset"], segments["cu_seqlens"]


def _columns(extraction: Extraction, variants: bool) -> dict[str, Column]:
    """What the rows of an extraction have. Those of variants also have everything from the variant
    on."""
    widths, dtype = layer_widths(extraction.model.name), np.dtype(extraction.dtype)
    score = Column(1, np.dtype(np.float64))
    columns = {
        name: score if name == SCORES else Column(widths[name], dtype)
        for name in extraction.outputs
    }
    if variants and not extraction.bin:
        columns |= {f"{name}.{DOWNSTREAM}": column for name, column in columns.items()}
    return columns


def _remove_leftovers(folder: Path) -> None:
    """Remove the layers, and files in writing, that an earlier job of this shard left."""
    for path in [*folder.glob("*.parquet"), *folder.glob(".*.tmp")]:
        remove(path)


def _speed(tokens: int, seconds: float, device: torch.device) -> dict:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "tokens": tokens,
        "seconds": round(seconds, 3),
        "tokens_per_second": round(tokens / seconds, 1) if seconds else None,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "device": name,
        "host": socket.gethostname(),
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
    }
