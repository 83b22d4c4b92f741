"""The packs of a shard through the engine: its rows, pack by pack, into the store."""

import time
from collections.abc import Iterator

import numpy as np
from tqdm import tqdm

from evo2_embed.embed.overlap import HostCopy, Storer, read_ahead
from evo2_embed.embed.pooling import Pooler
from evo2_embed.embed.row_spans import SegmentRows
from evo2_embed.embed.stop import StopSignal
from evo2_embed.embed.store import RowStore
from evo2_embed.engine.check import check_engine
from evo2_embed.engine.kv_cache import Keeping
from evo2_embed.engine.pack import Engine, Pack
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.stock import StockEngine
from evo2_embed.io.errors import Stopped
from evo2_embed.io.logs import log
from evo2_embed.model.loading import load_model


def prepare_engine(extraction: dict, checkpoint: str, kv_device: str) -> tuple[Engine, dict | None]:
    """Load the model, and see that the engine gives what `Evo2.forward` gives.

    Returns
    -------
    engine : Engine
    found : dict or None
        What `check_engine` found; None for the stock engine, which needs no check.
    """
    started = time.perf_counter()
    evo2 = load_model(extraction["model"]["name"], checkpoint, extraction["precision"])
    log.info("loaded %s in %.1f s", checkpoint, time.perf_counter() - started)
    layers = extraction["layers"]
    if extraction["engine"] == "stock":
        return StockEngine(evo2, layers), None
    engine = PackedEngine(evo2, layers, Keeping(extraction["kv_type"], kv_device))
    found = check_engine(engine, evo2, layers, extraction["precision"])
    worst = max(found["difference"].values())
    log.info("self-check: at most %.1e from Evo2.forward, allowed %g", worst, found["tolerance"])
    return engine, found


def run_packs(
    packs: Iterator[dict],
    wanted: dict[int, np.ndarray],
    row_spans: SegmentRows,
    engine: Engine,
    store: RowStore,
    n_packs: int,
) -> None:
    """Run the packs that are not stored yet, and those that have the past of their segments.

    A signal stops between two of them.
    """
    again = sum(number in store.done for number in wanted)
    if again:
        log.info("%d packs run again, for stretches that were not at their end", again)
    pooler = Pooler(row_spans.pooling)
    left = read_ahead(row for row in packs if row["pack"] in wanted)
    store.start()
    with StopSignal() as stop, Storer() as storer:
        for row in _with_progress(left, store):
            pack = _pack(row, wanted[row["pack"]])
            spans = row_spans.spans(pack.stretch, pack.position, pack.cu_seqlens).of(pack.wanted)
            rows, pooled = pooler.pool(engine.run(pack), spans)
            if row["pack"] in store.done:
                store.beat()
            else:
                values = {layer: HostCopy(vectors) for layer, vectors in pooled.items()}
                storer.submit(store.put, row["pack"], len(pack.tokens), rows, values)
            if stop.name:
                break
    store.save()
    if len(store.done) < n_packs:
        raise Stopped(
            f"stopped by {stop.name}: {store.tokens:,} of {store.n_tokens:,} tokens are "
            "kept, and a rerun goes on from there"
        )


def _pack(row: dict, wanted: np.ndarray) -> Pack:
    return Pack(
        row["tokens"],
        row["cu_seqlens"].astype(np.int64),
        row["width"],
        row["stretch"],
        row["offset"],
        row["remaining"],
        wanted,
    )


def _with_progress(rows: Iterator[dict], store: RowStore) -> Iterator[dict]:
    """Pass packs on, and show tokens done, tokens/s and the time left in the log."""
    done = set(store.done)
    with tqdm(
        total=store.n_tokens, initial=store.tokens, unit="token", unit_scale=True, mininterval=5
    ) as progress:
        for row in rows:
            yield row
            if row["pack"] not in done:
                progress.update(int(row["cu_seqlens"][-1]))
