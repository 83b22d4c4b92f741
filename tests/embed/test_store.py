"""The rows of a shard in the making: safe, found again, and checked."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from evo2_embed.embed.overlap import HostCopy
from evo2_embed.embed.progress import read_progress
from evo2_embed.embed.row_files import Column
from evo2_embed.embed.rows import ShardRows
from evo2_embed.embed.shard_files import write_shard
from evo2_embed.embed.store import JOURNAL, RowStore, StoreContents
from evo2_embed.io.errors import InputError
from evo2_embed.io.parts import Parts
from evo2_embed.settings.extraction import SCORES
from hypothesis import given, settings
from hypothesis import strategies as st

WIDTHS = {"norm": 3, "blocks.1": 5}
BIN = {"bin": 30}


def shard_rows(chunks=6, pooling=BIN):
    """Rows of overlapping windows on both strands of a contig."""
    number = np.arange(chunks)
    start = number // 2 * 60
    text = {key: np.full(chunks, "x", object) for key in ("genome", "contig", "name")}
    strand = np.array(["+-"[i % 2] for i in number], object)
    keys = {"chunk": number, "start": start, "end": start + 100, "strand": strand}
    context = {"context": np.full(chunks, 100), "stretch": number, "parts": Parts.none(chunks)}
    return ShardRows(keys | context | text, pooling)


def open_store(folder, key="key", save_every=0, dtype="float32"):
    folder.mkdir(exist_ok=True)
    columns = {layer: Column(width, np.dtype(dtype)) for layer, width in WIDTHS.items()}
    contents = StoreContents(key, shard_rows(), columns, 600)
    return RowStore(folder, contents, save_every, lambda: None)


def rows_of(rows, chunks):
    """Indices of the rows of chunks, chunk after chunk."""
    per_chunk = [np.flatnonzero(rows.rows["chunk"] == chunk) for chunk in chunks]
    along = [p if chunk % 2 == 0 else p[::-1] for chunk, p in zip(chunks, per_chunk, strict=True)]
    return np.concatenate(along)


def vectors_of(rows, chunks, layer):
    """Vectors that tell the chunk, and the number of the row in it."""
    count = len(rows_of(rows, chunks))
    base = 1000 * np.repeat(chunks, count // len(chunks)) + np.arange(count)
    return torch.from_numpy((base[:, None] + np.arange(WIDTHS[layer])).astype(np.float32))


def put(store, number, chunks, wrong=None):
    """Store the rows of chunks; with `wrong`, one value of the second layer is this number."""
    values = {layer: vectors_of(store.rows, chunks, layer) for layer in WIDTHS}
    if wrong is not None:
        values["blocks.1"][2, 4] = wrong
    copies = {layer: HostCopy(vectors) for layer, vectors in values.items()}
    rows = dict.fromkeys(WIDTHS, rows_of(store.rows, chunks))
    store.put(number, 100 * len(chunks), rows, copies)


def chunks_of(number):
    return np.array([2 * number, 2 * number + 1])


PACKS = {number: chunks_of(number) for number in range(3)}
ROWS = {
    number: dict.fromkeys(WIDTHS, rows_of(shard_rows(), chunks)) for number, chunks in PACKS.items()
}


def written(store, folder):
    """Contents of the Parquet files."""
    files = write_shard(store, folder, {}, 0)["layers"]
    return {layer: (folder / known["file"]).read_bytes() for layer, known in files.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    with open_store(folder / ".work") as store:
        for number, chunks in PACKS.items():
            put(store, number, chunks)
        return written(store, folder)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(list(PACKS)), stops=st.sets(st.integers(0, 2)))
def test_packs_in_any_order_and_over_several_processes(undisturbed, tmp_path_factory, order, stops):
    folder = tmp_path_factory.mktemp("any")
    for turn, number in enumerate(order):
        if turn == 0 or turn in stops:
            store = open_store(folder / ".work")
            store.keep_whole(ROWS)
            assert set(store.done) == set(order[:turn])
            assert store.tokens == 200 * turn
        put(store, number, PACKS[number])
    with store:
        assert written(store, folder) == undisturbed


def test_a_store_says_how_far_it_is_before_and_after_every_save(tmp_path):
    def said():
        progress = read_progress(tmp_path)
        return progress.tokens, progress.n_tokens, progress.loaded

    with open_store(tmp_path, save_every=1000) as store:
        assert said() == (0, 600, False)
        store.start()
        assert said() == (0, 600, True)
        store._progress._shown = 0  # more than a second ago
        put(store, 0, PACKS[0])
        assert said() == (200, 600, True)
        assert read_progress(tmp_path).seconds > 0
        assert not (tmp_path / JOURNAL).exists()
        put(store, 1, PACKS[1])
        store.save()
        assert said() == (400, 600, True)
    assert open_store(tmp_path).tokens == 400
    assert said() == (400, 600, False)


def test_rows_lie_in_the_order_of_the_genome(undisturbed, tmp_path):
    (tmp_path / "norm.parquet").write_bytes(undisturbed["norm"])
    table = pq.read_table(tmp_path / "norm.parquet")
    keys = list(zip(*(table[k].to_pylist() for k in ("start", "strand", "chunk")), strict=True))
    assert keys == sorted(keys)
    assert len(keys) == 6 * 4


def test_damaged_rows_are_done_again(tmp_path):
    with open_store(tmp_path) as store:
        for number, chunks in PACKS.items():
            put(store, number, chunks)
    path = tmp_path / "blocks.1.rows"
    content = bytearray(path.read_bytes())
    offset = int(ROWS[1]["blocks.1"][0]) * 5 * 4
    content[offset] ^= 1
    path.write_bytes(content)
    with open_store(tmp_path) as store:
        store.keep_whole(ROWS)
        assert set(store.done) == {0, 2}
    path.write_bytes(content[: len(content) // 2])
    with open_store(tmp_path) as store:
        store.keep_whole(ROWS)
        assert 2 not in store.done
    path.unlink()
    with open_store(tmp_path) as store:
        store.keep_whole(ROWS)
        assert not store.done


@pytest.mark.parametrize("damage", ["another key", "empty", "flip", "no journal"])
def test_a_journal_of_something_else_or_damaged_is_not_used(tmp_path, damage):
    with open_store(tmp_path) as store:
        put(store, 0, PACKS[0])
    path = tmp_path / JOURNAL
    if damage == "empty":
        path.write_text("")
    elif damage == "flip":
        path.write_text(path.read_text().replace('"tokens": 200', '"tokens": 201'))
    elif damage == "no journal":
        path.unlink()
    with open_store(tmp_path, key="other" if damage == "another key" else "key") as store:
        store.keep_whole(ROWS)
        assert not store.done
        assert not store.seconds


def test_what_was_not_saved_is_not_taken_for_safe(tmp_path):
    store = open_store(tmp_path, save_every=1000)
    put(store, 0, PACKS[0])
    assert not (tmp_path / JOURNAL).exists()
    with pytest.raises(RuntimeError), store:
        raise RuntimeError  # an error in this process: what is done is saved at its end
    with open_store(tmp_path) as store:
        store.keep_whole(ROWS)
        assert set(store.done) == {0}


def test_a_disk_that_is_too_small_is_known_before_any_work(tmp_path, monkeypatch):
    class Usage:
        free = 100

    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    with pytest.raises(InputError, match=r"need 1\.5 kB, .* has 100 B free: free disk space"):
        open_store(tmp_path)


def test_rows_that_were_never_stored_are_refused(tmp_path):
    with open_store(tmp_path / ".work") as store:
        put(store, 0, PACKS[0])
        with pytest.raises(InputError, match="column 'embedding': 13 of 24 values"):
            write_shard(store, tmp_path, {}, 0)
    assert not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize(
    ("wrong", "dtype", "cause"),
    [
        (np.nan, "float32", "NaN"),
        (-np.inf, "float32", r"infinite values \(inf\)"),
        (np.inf, "float16", r"infinite values \(inf\)"),
        (70_000, "float16", "values above 65,504, the most that dtype: float16 can store,"),
    ],
)
def test_rows_that_are_no_numbers_are_refused_at_once_and_not_kept(tmp_path, wrong, dtype, cause):
    where = r"in 1 of 8 rows of pack 1; the first is x, 'x', bases 120 to 150, strand \+"
    advice = "set dtype: float32" if wrong == 70_000 else "rerun, finished packs are kept"
    with open_store(tmp_path / ".work", save_every=1000, dtype=dtype) as store:
        put(store, 0, PACKS[0])
        with pytest.raises(InputError, match=rf"^layer 'blocks.1': {cause} {where} \({advice}"):
            put(store, 1, PACKS[1], wrong)
        store.save()
    # A healthy job goes on from the packs before, and finishes.
    with open_store(tmp_path / ".work", dtype=dtype) as store:
        store.keep_whole(ROWS)
        assert set(store.done) == {0}
        put(store, 1, PACKS[1])
        put(store, 2, PACKS[2])
        assert len(written(store, tmp_path)) == 2


def test_rows_of_an_earlier_version_that_are_no_numbers_are_done_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patched, open_store(tmp_path) as store:
        patched.setattr("evo2_embed.embed.store.as_stored", np.asarray)
        put(store, 0, PACKS[0], np.nan)
        put(store, 1, PACKS[1])
    with open_store(tmp_path) as store:
        assert set(store.done) == {0, 1}
        store.keep_whole(ROWS)
        assert set(store.done) == {1}


def test_scores_are_stored_as_sums_and_written_with_their_means(tmp_path):
    windows, bos = shard_rows(pooling={"bin": 1}), 0
    columns = {"norm": Column(3, np.dtype("float16")), SCORES: Column(1, np.dtype(np.float64))}
    (tmp_path / ".work").mkdir()
    contents = StoreContents("key", windows, columns, 600)
    sums = -np.arange(windows.count, dtype=np.float64)[:, None] / 3
    order = np.random.default_rng(0).permutation(windows.count)
    rows = {"norm": np.arange(windows.count), SCORES: order}
    values = {"norm": torch.ones(windows.count, 3), SCORES: torch.from_numpy(sums[order])}
    with RowStore(tmp_path / ".work", contents, 0, lambda: None) as store:
        store.put(0, 600, rows, {name: HostCopy(each) for name, each in values.items()})
    with RowStore(tmp_path / ".work", contents, 0, lambda: None) as store:
        store.keep_whole({0: rows})
        assert store.tokens == 600
        written = write_shard(store, tmp_path, {}, bos)
    assert written["scores"]["file"] == "scores.parquet"
    assert list(written["layers"]) == ["norm"]
    table = pq.read_table(tmp_path / "scores.parquet")
    assert table["sum"].to_numpy().tolist() == sums[:, 0].tolist()
    # The windows run alone: the first base of each has nothing before it.
    first = np.isin(windows.rows["offset"], [0])
    assert first.sum() == 6
    assert (table["scored"].to_numpy() == ~first).all()
    assert table["mean"].to_pylist() == [
        None if unscored else value for unscored, value in zip(first, sums[:, 0], strict=True)
    ]


def test_a_score_that_is_no_number_is_refused(tmp_path):
    contents = StoreContents("key", shard_rows(), {SCORES: Column(1, np.dtype(np.float64))}, 600)
    with RowStore(tmp_path, contents, 0, lambda: None) as store:
        values = {SCORES: HostCopy(torch.full((24, 1), torch.nan, dtype=torch.float64))}
        with pytest.raises(InputError, match="layer 'scores': NaN in 24 of 24 rows of pack 0"):
            store.put(0, 600, {SCORES: np.arange(24)}, values)
