"""Packs to the embeddings of one shard: the loop, and the store that puts rows in order."""

import os
import resource
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from tqdm import tqdm

from evo2_embed import __version__
from evo2_embed.digests import file_sha256, settings_digest
from evo2_embed.engines import ENGINES, Engine, Pack, StockEngine, check_engine
from evo2_embed.files import read_json, write_json
from evo2_embed.host import choose_device, hide_network
from evo2_embed.loading import load_model, package_versions
from evo2_embed.logs import log
from evo2_embed.models import layer_widths
from evo2_embed.overlap import HostCopy, Storer, read_ahead
from evo2_embed.packing import read_packs
from evo2_embed.pooling import pool_tokens
from evo2_embed.rows import ShardRows
from evo2_embed.tables import (
    PACKS,
    check_embeddings,
    embeddings_schema,
    metadata_schema,
    open_table,
    row_group_rows,
    table_metadata,
    table_writer,
    vectors,
)

# What a shard's record repeats of its pack file's metadata.
COUNTS = (
    "first_chunk",
    "n_chunks",
    "n_packs",
    "n_tokens",
    "n_bases",
    "budget_tokens",
    "padded_tokens",
)


def embed_shard(
    packs: str, model: str, settings: dict, device: str, record: str, speed: str
) -> None:
    """Run the packs of a shard through the model and write one Parquet file a layer.

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
    """
    hide_network()
    extraction = settings["extraction"]
    torch.set_num_threads(settings["cpu_threads"])
    chosen = choose_device(device, extraction["precision"])
    file = open_table(packs, PACKS)
    origin = table_metadata(file)
    weights = read_json(model)
    metadata = {
        "settings": settings,
        "digest": settings_digest([settings, origin["digest"], weights["sha256"]]),
        "packs_digest": origin["digest"],
        "packing": origin["settings"],
        "chunks_digest": origin["chunks_digest"],
        **{key: origin[key] for key in COUNTS},
        "checkpoint_sha256": weights["sha256"],
        "packages": package_versions(),
        "self_check": None,
        "workflow": __version__,
    }
    folder = Path(record).parent
    _clear(folder)
    rows = ShardRows(_segments(file), extraction["pooling"])
    widths = layer_widths(extraction["model"]["name"])
    bos = origin["settings"]["packing"]["bos"]
    seconds = 0.0
    with RowStore(folder, rows, {x: widths[x] for x in extraction["layers"]}, extraction) as store:
        if origin["n_packs"]:
            loaded = time.perf_counter()
            evo2 = load_model(extraction["model"]["name"], weights["path"], extraction["precision"])
            log.info("loaded %s in %.1f s", weights["path"], time.perf_counter() - loaded)
            engine = ENGINES[extraction["engine"]](evo2, extraction["layers"])
            metadata["self_check"] = _self_check(engine, evo2, extraction)
            started = time.perf_counter()
            with Storer() as storer:
                for row in _with_progress(read_ahead(read_packs(file, packs)), origin["n_tokens"]):
                    _embed_pack(row, engine, extraction["pooling"], bos, rows, store, storer)
            seconds = time.perf_counter() - started
        files = store.write(metadata)
    write_json(speed, _speed(origin["n_tokens"], seconds, chosen))
    write_json(record, {**metadata, "layers": files})


class RowStore:
    """Vectors of a shard on disk, written pack by pack in any order, read in the final one.

    One array a layer in a hidden folder beside the output, mapped into memory: what it holds is
    bounded by the disk. The folder goes when the store is closed.
    """

    def __init__(self, folder: Path, rows: ShardRows, widths: dict[str, int], extraction: dict):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.rows, self.extraction = folder, rows, extraction
        self.work = Path(tempfile.mkdtemp(dir=folder, prefix=".work."))
        self.arrays = {
            layer: np.memmap(
                self.work / f"{layer}.rows",
                extraction["dtype"],
                "w+",
                shape=(max(rows.count, 1), width),
            )
            for layer, width in widths.items()
        }

    def __enter__(self) -> "RowStore":
        return self

    def __exit__(self, *error) -> None:
        self.arrays.clear()
        shutil.rmtree(self.work, ignore_errors=True)

    def put(self, layer: str, places: np.ndarray, values: HostCopy) -> None:
        """Store the vectors (n, width) of rows."""
        self.arrays[layer][places] = values.numpy()

    def write(self, metadata: dict) -> dict[str, dict]:
        """Write every layer's Parquet file; its name, rows, width and digest by layer."""
        files = {}
        for layer, array in self.arrays.items():
            width = array.shape[1]
            schema = embeddings_schema(width, self.extraction["dtype"], chunk=True)
            schema = metadata_schema(schema, {**metadata, "layer": layer})
            path = self.folder / f"{layer}.parquet"
            group = row_group_rows(width, array.itemsize)
            with table_writer(path, schema) as writer:
                for start in range(0, self.rows.count, group):
                    stop = min(start + group, self.rows.count)
                    keys = self.rows.keys(start, stop)
                    values = np.array(array[start:stop])
                    table = pa.table({**keys, "embedding": vectors(values)}, schema=schema)
                    writer.write_table(check_embeddings(table, values, str(path)))
            files[layer] = {
                "file": path.name,
                "rows": self.rows.count,
                "width": width,
                "sha256": file_sha256(path),
            }
        return files


def _segments(file) -> dict[str, np.ndarray]:
    """Keys of all segments of a pack file, without their tokens."""
    names = ("chunk", "genome", "contig", "start", "end", "strand", "name")
    table = file.read(list(names))
    flat = {name: table[name].combine_chunks().flatten() for name in names}
    numbers = ("chunk", "start", "end")
    return {
        name: column.to_numpy(zero_copy_only=False)
        if name in numbers
        else np.array(column.to_pylist(), object)
        for name, column in flat.items()
    }


def _with_progress(rows: Iterator[dict], n_tokens: int) -> Iterator[dict]:
    """Pass packs on, and show tokens done, tokens/s and the time left in the log."""
    with tqdm(total=n_tokens, unit="token", unit_scale=True, mininterval=5) as progress:
        for row in rows:
            yield row
            progress.update(int(row["cu_seqlens"][-1]))


def _self_check(engine: Engine, evo2, extraction: dict) -> dict | None:
    """What the check of the packed engine found; the stock engine needs none."""
    if isinstance(engine, StockEngine):
        return None
    result = check_engine(engine, evo2, extraction["layers"], extraction["precision"])
    worst = max(result["difference"].values())
    log.info("self-check: at most %.1e from Evo2.forward, allowed %g", worst, result["tolerance"])
    return result


def _embed_pack(
    row: dict,
    engine: Engine,
    pooling: str | dict,
    bos: bool,
    rows: ShardRows,
    store: RowStore,
    storer: Storer,
) -> None:
    pack = Pack(row["tokens"], row["cu_seqlens"].astype(np.int64), row["width"])
    places = rows.places(row["chunk"])
    for layer, tokens in engine.run(pack).items():
        pooled = HostCopy(pool_tokens(tokens, pack.cu_seqlens, bos, pooling))
        storer.submit(store.put, layer, places, pooled)


def _clear(folder: Path) -> None:
    """Remove what an earlier run of this shard left: work folders, layers no longer asked for."""
    for path in folder.glob("*.parquet") if folder.exists() else ():
        path.unlink()
    for path in folder.glob(".*") if folder.exists() else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


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
