"""The packs of a shard through the engine: pack -> token embeddings -> rows -> store."""

import signal
import time
from collections.abc import Iterable, Iterator
from types import FrameType

import numpy as np
import torch
from tqdm import tqdm

from evo2_embed.embed.overlap import HostCopy, Storer, read_ahead
from evo2_embed.embed.pooling import Pooler
from evo2_embed.embed.row_spans import RowLocator, RowSpans, tokens_of
from evo2_embed.embed.store import RowStore
from evo2_embed.embed.wanted import Wanted, wanted_segments
from evo2_embed.engine.check import check_engine
from evo2_embed.engine.footprint import KVCacheOptions
from evo2_embed.engine.memory import is_out_of_memory
from evo2_embed.engine.pack import Engine, Pack
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.stock import StockEngine
from evo2_embed.io.errors import Stopped
from evo2_embed.io.logs import log
from evo2_embed.model.loading import load_model
from evo2_embed.settings.extraction import SCORES, Extraction
from evo2_embed.settings.jobs import Runtime

# SIGTERM: time limit, preemption, scancel, kill. SIGINT: Ctrl-C. SIGUSR1: early warning of a
# cluster that was asked for one (`sbatch --signal=USR1@60`).
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def prepare_engine(
    extraction: Extraction, checkpoint: str, runtime: Runtime, forks: bool = False
) -> tuple[Engine, dict | None]:
    """Load the model, and check the packed engine against `Evo2.forward`, also on a fork if packs
    have `forks`.

    Returns
    -------
    engine : Engine
    found : dict or None
        Result of `check_engine`, and the kernels; None for the stock engine, which is the
        reference.
    """
    started = time.perf_counter()
    evo2 = load_model(extraction.model.name, checkpoint, extraction.precision)
    log.info("loaded %s in %.1f s", checkpoint, time.perf_counter() - started)
    layers = extraction.outputs
    if extraction.engine == "stock":
        return StockEngine(evo2, layers), None
    options = KVCacheOptions(extraction.kv_type, runtime.kv_device)
    engine = PackedEngine(evo2, layers, options, runtime.kernels)
    try:
        found = check_engine(engine, evo2, layers, extraction.precision, forks)
    except Exception as error:
        chosen = runtime.kernels == "auto" and engine.kernels == "triton"
        if not chosen or is_out_of_memory(error):
            raise
        # The driver, the compiler and the GPU of a machine are known only here.
        log.warning("Triton's kernels do not work here, PyTorch's are used: %r", error)
        engine = PackedEngine(evo2, layers, options, "torch")
        found = check_engine(engine, evo2, layers, extraction.precision, forks)
    found["kernels"] = engine.kernels
    worst = max(found["difference"].values())
    log.info("self-check: at most %.1e from Evo2.forward, allowed %g", worst, found["tolerance"])
    return engine, found


def run_packs(
    packs: Iterator[dict],
    segments: dict[int, dict[str, np.ndarray]],
    locator: RowLocator,
    engine: Engine,
    store: RowStore,
) -> None:
    """Run the packs that are not stored yet, and the packs before them that they depend on.

    Reading the next pack, and storing the one before, run in threads beside the engine. A signal
    stops the loop after the current pack.

    Parameters
    ----------
    packs : iterator of dict
        All packs of the shard (`read.read_packs`).
    segments : dict of int to dict
        Their segments, by number of the pack (`read.read_pack_segments`).
    locator : RowLocator
    engine : Engine
    store : RowStore

    Raises
    ------
    Stopped
        If a signal stopped the loop before the last pack.
    """
    wanted = wanted_segments(segments, set(store.done))
    again = sum(number in store.done for number in wanted)
    if again:
        log.info("%d finished packs run again: their stretches were not finished", again)
    poolers: dict[tuple[str, bool], Pooler] = {}
    coming = read_ahead(row for row in packs if row["pack"] in wanted)
    store.start()
    with StopSignal() as stop, Storer() as storer:
        for row in _with_progress(coming, store):
            number, pack = row["pack"], _pack(row, wanted[row["pack"]])
            outputs, row_index, pooled = engine.run(pack), {}, {}
            for key, mine in _by_rows(outputs, store.columns).items():
                # Rows of segments that are not wanted were stored by an earlier job.
                spans = locator.spans(row["stretch"], row["offset"], pack.cu_seqlens, key[0])
                pooler = poolers.setdefault(key, Pooler("sum" if key[1] else locator.pooling))
                ended, values = _pool(pooler, engine, mine, spans.of(pack.wanted))
                row_index |= dict.fromkeys(values, ended)
                pooled |= values
            if number in store.done:
                store.beat()
            else:
                vectors = {layer: HostCopy(values) for layer, values in pooled.items()}
                storer.submit(store.put, number, len(pack.tokens), row_index, vectors)
            if stop.name:
                break
    store.save()
    if len(store.done) < len(segments):
        raise Stopped(
            f"stopped by {stop.name}: {store.tokens:,} of {store.n_tokens:,} tokens are saved; "
            "rerun to continue from there"
        )


def _by_rows(
    outputs: dict[str, torch.Tensor], columns: Iterable[str]
) -> dict[tuple[str, bool], dict[str, torch.Tensor]]:
    """The tokens of each column, by which of them a row has, and whether they are scores."""
    found: dict[tuple[str, bool], dict[str, torch.Tensor]] = {}
    for column in columns:
        output, which = tokens_of(column)
        found.setdefault((which, output == SCORES), {})[column] = outputs[output]
    return found


def _pool(
    pooler: Pooler, engine: Engine, outputs: dict[str, torch.Tensor], spans: RowSpans
) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
    """`Pooler.pool`; if the memory is used up, once more without what the engine keeps."""
    try:
        return pooler.pool(outputs, spans)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    log.warning("pooling: the memory of the device is used up; the engine's buffers are freed")
    engine.free_unused()
    return pooler.pool(outputs, spans)


class StopSignal:
    """Within the block, stop signals are noted in `name` and do not end the process."""

    def __init__(self):
        self.name: str | None = None

    def __enter__(self) -> "StopSignal":
        self.before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name


def _pack(row: dict, wanted: Wanted) -> Pack:
    return Pack(
        row["tokens"],
        row["cu_seqlens"].astype(np.int64),
        row["width"],
        row["stretch"],
        row["offset"],
        np.where(wanted.goes_on, row["remaining"], 0),
        wanted.segments,
        row["parent"],
        wanted.forks,
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
