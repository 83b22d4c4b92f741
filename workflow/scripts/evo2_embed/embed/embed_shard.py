"""Packs to the embeddings of one shard."""

import os
import resource
import socket
from collections.abc import Callable
from pathlib import Path

import torch

from evo2_embed import __version__
from evo2_embed.embed.row_spans import SegmentRows, wanted_segments
from evo2_embed.embed.rows import ShardRows
from evo2_embed.embed.run_packs import prepare_engine, run_packs
from evo2_embed.embed.store import RowStore
from evo2_embed.embed.watchdog import Watchdog
from evo2_embed.engine.memory import map_large_blocks
from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json, remove, write_json
from evo2_embed.io.locks import exclusive
from evo2_embed.io.logs import log
from evo2_embed.io.tables import PACKS, open_table
from evo2_embed.model.import_evo2 import choose_device, hide_network
from evo2_embed.model.loading import package_versions
from evo2_embed.model.models import layer_widths
from evo2_embed.model.weights import check_weights
from evo2_embed.pack.metadata import read_metadata, shard_id_of
from evo2_embed.pack.read import read_chunk_keys, read_pack_segments, read_packs

# The work folder of a shard, beside its record, and the lock in it.
WORK, LOCK = ".work", "lock"


def embed_shard(
    packs: str,
    model: str,
    settings: dict,
    device: str,
    record: str,
    speed: str,
    checkpoint_every: float,
    hang_after: float,
    kv_device: str,
) -> None:
    """Run the packs of a shard through the model and write one Parquet file a layer.

    What is done is kept in a work folder beside the record until all is; a process that comes
    after one that was killed goes on from there. Two processes never work on one shard: the second
    waits, and takes over what the first one leaves.

    Parameters
    ----------
    packs : str
        The pack file.
    model : str
        The record that `checkpoint.fetch_model` wrote: where the weights are, and their digest.
    settings : dict
        `extraction` (an entry of the configuration's `extractions`, complete), `cpu_threads` and
        `code`.
    device : {"auto", "cpu", "cuda"}
    record : str
        JSON file to write last: the shard's files with their digests, and what they were made
        from. The files go beside it, `{layer}.parquet`.
    speed : str
        JSON file for what differs from run to run: time, memory, device, host.
    checkpoint_every : float
        Seconds between two saves: what a kill may cost (and the pack in work, and the earlier packs
        of stretches that were open).
    hang_after : float
        Seconds without progress after which the process is ended; 0: never.
    kv_device : {"device", "host"}
        Where keys and values of stretches are kept for later segments.

    Raises
    ------
    InputError
        When the pack file is damaged or another shard's, or the machine or the model do not suit.
    Stopped
        When a signal asked for an end.
    """
    hide_network()
    extraction = settings["extraction"]
    torch.set_num_threads(settings["cpu_threads"])
    chosen = choose_device(device, extraction["precision"])
    map_large_blocks()
    file = open_table(packs, PACKS)
    weights = read_json(model)
    check_weights(weights["path"], weights["sha256"])
    metadata = _origin(file, packs, weights, settings)
    folder = Path(record).parent
    work = folder / WORK
    with exclusive(work / LOCK, hang_after):
        if _is_finished(record, speed, metadata):
            log.info("another process finished this shard in the meantime")
        else:
            with Watchdog(hang_after) as watchdog:
                _clear(folder)
                files, seconds = _embed(
                    file,
                    packs,
                    weights["path"],
                    metadata,
                    folder,
                    checkpoint_every,
                    watchdog.beat,
                    kv_device,
                )
            write_json(speed, _speed(metadata["n_tokens"], seconds, chosen))
            write_json(record, {**metadata, "layers": files})
        # Another process may wait for its lock in there: that one removes what is left.
        remove(work)


def _origin(file, packs: str, weights: dict, settings: dict) -> dict:
    """What a shard is made from: the metadata of its files."""
    origin = read_metadata(file)
    if origin.shard_id != shard_id_of(packs):
        raise InputError(
            f"{packs}: holds the packs of another shard ({origin.shard_id}); "
            f"delete {packs} and rerun to redo it"
        )
    return {
        "settings": settings,
        "digest": settings_digest([settings, origin.digest, weights["sha256"]]),
        "packs_digest": origin.digest,
        "packing": origin.settings,
        "chunks_digest": origin.chunks_digest,
        **origin.counts(),
        "checkpoint_sha256": weights["sha256"],
        "packages": package_versions(),
        "self_check": None,
        "workflow": __version__,
    }


def _is_finished(record: str, speed: str, metadata: dict) -> bool:
    """Whether the shard is there, made from the same and whole."""
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
        (folder / layer["file"]).exists() and file_sha256(folder / layer["file"]) == layer["sha256"]
        for layer in known["layers"].values()
    )


def _embed(
    file,
    packs: str,
    checkpoint: str,
    metadata: dict,
    folder: Path,
    every: float,
    beat: Callable[[], None],
    kv_device: str,
) -> tuple[dict, float]:
    """Write the layers' files into a folder; what is known of them, and the seconds of embedding.

    What the engine's self-check found goes into the metadata.
    """
    extraction = metadata["settings"]["extraction"]
    key = settings_digest([metadata, file_sha256(packs)])
    rows = ShardRows(read_chunk_keys(file), extraction["pooling"])
    all_widths = layer_widths(extraction["model"]["name"])
    widths = {layer: all_widths[layer] for layer in extraction["layers"]}
    with RowStore(
        folder / WORK, key, rows, widths, extraction["dtype"], metadata["n_tokens"], every, beat
    ) as store:
        if metadata["n_packs"]:
            segments = read_pack_segments(file)
            bos = int(metadata["packing"]["packing"]["bos"])
            row_spans = SegmentRows(rows, extraction["pooling"], bos)
            known = [number for number in store.done if number in segments]
            store.keep_whole({number: row_spans.ended(**segments[number]) for number in known})
            engine, metadata["self_check"] = prepare_engine(extraction, checkpoint, kv_device)
            beat()
            stretches = {number: mine["stretch"] for number, mine in segments.items()}
            wanted = wanted_segments(stretches, set(store.done))
            rows_of_packs = read_packs(file, packs)
            run_packs(rows_of_packs, wanted, row_spans, engine, store, metadata["n_packs"])
        return store.write(folder, metadata), store.seconds


def _clear(folder: Path) -> None:
    """Remove what an earlier job of this shard left: layers, files that were being written."""
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
