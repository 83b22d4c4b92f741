"""Shards to a dataset, where their chunks interleave: every row once, in the final order."""

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.dataset import merge
from evo2_embed.dataset.aggregate import aggregate_bundle, join_layer
from evo2_embed.dataset.shards import BundleFiles, Shard
from evo2_embed.embed.rows import ShardRows
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.digests import file_sha256
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json, write_json
from evo2_embed.io.tables import PACKS, embeddings_schema, open_table, table_writer, vectors
from evo2_embed.model.registry import layer_widths
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.pack.read import read_chunk_keys
from evo2_embed.settings.extraction import Extraction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import random_bases, write_fasta

LAYER = "norm"
WIDTH = layer_widths("evo2_tiny")[LAYER]
EXTRACTION = {
    "model": {"name": "evo2_tiny"},
    "layers": [LAYER],
    "pooling": "mean",
    "precision": "fp32",
    "engine": "packed",
    "dtype": "float32",
}


def write_shard(packs, metadata, extraction, folder, group):
    """A shard of the packs as `embed_shard` writes it; a row's numbers are those of its place."""
    rows = ShardRows(read_chunk_keys(open_table(packs, PACKS)), extraction["pooling"])
    path = folder / f"{LAYER}.parquet"
    with table_writer(path, embeddings_schema(WIDTH, "float32", chunk=True)) as writer:
        for start in range(0, rows.count, group):
            keys = rows.keys(start, min(start + group, rows.count))
            values = np.zeros((len(keys["chunk"]), WIDTH), np.float32)
            for column, name in enumerate(("chunk", "start", "context")):
                values[:, column] = keys[name].to_numpy()
            table = pa.table({**keys, "embedding": vectors(values)}, schema=writer.schema)
            writer.write_table(table)
    known = {"file": path.name, "rows": rows.count, "width": WIDTH, "sha256": file_sha256(path)}
    record = {
        **metadata.counts(),
        "digest": metadata.digest,
        "chunks_digest": metadata.chunks_digest,
        "settings": {"extraction": extraction},
        "packing": metadata.settings,
        "checkpoint_sha256": "0",
        "packages": {},
        "self_check": None,
        "layers": {LAYER: known},
    }
    write_json(folder / "shard.json", record)
    return str(folder / "shard.json")


def make_shards(complete, records, windows, pooling, n_shards, group):
    """A bundle's chunk table and shards, and the settings that they were made with."""
    genome = [Genome("g", write_fasta("g.fa", records))]
    config = complete(windows={"size": 60, "strands": "both", **windows})
    chunk_bundle(genome, config.windows.to_dict(), "indexes", "chunks.parquet", 1)
    extraction, paths = {**EXTRACTION, "pooling": pooling}, []
    for shard in range(n_shards):
        packs = f"packs/{shard:05d}.parquet"
        how = {"packing": config.packing.to_dict(), "code": 1}
        metadata = pack_shard(genome, "chunks.parquet", shard, n_shards, how, "indexes", packs)
        folder = Path("shards") / str(shard)
        folder.mkdir(parents=True, exist_ok=True)
        paths.append(write_shard(packs, metadata, extraction, folder, group))
    return BundleFiles("chunks.parquet", paths), {"embed": {"extraction": extraction}, "levels": []}


def dataset(bundle, how):
    """The dataset that is made of the shards, without its vectors, and what these say."""
    settings = {**how, "code": 1}
    aggregate_bundle(bundle, [LAYER], settings, "bundle/all.json")
    join_layer(["bundle/all.json"], LAYER, settings, f"dataset/{LAYER}.json")
    table = pl.read_parquet(f"dataset/{LAYER}/*.parquet")
    places = np.stack(table["embedding"].to_numpy())[:, :3].astype(int)
    return table.drop("embedding"), places


CONTEXTS = st.one_of(
    st.just({"span": "size"}),
    st.fixed_dictionaries({"span": st.integers(90, 2000), "min": st.integers(0, 30)}),
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lengths=st.lists(st.integers(30, 900), min_size=1, max_size=3),
    stride=st.integers(15, 90),
    context=CONTEXTS,
    pooling=st.sampled_from(["mean", {"bin": 7}]),
    n_shards=st.integers(1, 9),
    group=st.integers(1, 40),
)
def test_interleaved_shards_are_sorted(
    complete, lengths, stride, context, pooling, n_shards, group
):
    records = [(f"c{9 - i}", random_bases(length, i)) for i, length in enumerate(lengths)]
    windows = {"stride": stride, "context": context}
    bundle, how = make_shards(complete, records, windows, pooling, n_shards, group)
    table, places = dataset(bundle, how)
    assert table["start"].to_list() == places[:, 1].tolist()
    assert table["context"].to_list() == places[:, 2].tolist()
    number = {name: row for row, (name, _) in enumerate(records)}
    contig = [number[name] for name in table["contig"].cast(pl.String)]
    minus = (table["strand"] == "-").to_numpy()
    keys = list(zip(contig, places[:, 1], minus, places[:, 0], strict=True))
    assert keys == sorted(keys)
    chunks = pl.read_parquet("chunks.parquet")
    rows = -(-chunks["length"] // 7) if isinstance(pooling, dict) else chunks["length"] * 0 + 1
    wanted = np.repeat(chunks["chunk"].to_numpy(), rows.to_numpy())
    assert sorted(places[:, 0]) == wanted.tolist()
    own = chunks[places[:, 0]]
    behind = np.where(minus, table["start"] - own["start"], own["end"] - table["end"])
    assert (table["context"].to_numpy() == own["context"].to_numpy() - behind).all()


def test_the_example_of_the_module_is_true(complete, monkeypatch):
    steps, held, take = [], {}, merge._Stream.take

    def names(table):
        columns = table["start"].to_pylist(), table["strand"].to_pylist()
        return ",".join(f"{start}{strand}" for start, strand in zip(*columns, strict=True))

    def taken(stream, frontier):
        held[id(stream)] = stream
        waiting = names(stream.table.slice(len(stream.table) - stream.waiting))
        steps[-1].append((id(stream), waiting, f"{frontier[1]}{'+-'[frontier[2]]}"))
        return take(stream, frontier)

    monkeypatch.setattr(merge._Stream, "take", taken)
    windows = {"size": 4, "stride": 2, "context": {"span": 100}, "min_length": 4}
    bundle, how = make_shards(complete, [("a", "ACGTACGT")], windows, "mean", 2, 2)
    shards = [Shard.open(bundle, path) for path in bundle.records]
    lines, steps = [], [[]]
    for table in merge.merge_shards(
        shards, LAYER, Extraction.from_dict(how["embed"]["extraction"])
    ):
        memory = {number: waiting for number, waiting, _ in steps[-1]}
        shown = [memory.get(number, "end") for number in held]
        lines.append([str(len(steps)), *shown, steps[-1][0][2], names(table)])
        steps.append([])
    text = merge.__doc__.split("written\n")[1]
    assert lines == [line.split() for line in text.splitlines()]


def test_few_shards_are_open_at_a_time(complete, monkeypatch):
    """A stretch of `-` reaches into the shards behind it, and no further than its span."""
    most, opened = 0, merge._Stream.take

    def take(stream, border):
        nonlocal most
        live.add(stream)
        most = max(most, sum(1 for one in live if one.waiting))
        return opened(stream, border)

    live = set()
    monkeypatch.setattr(merge._Stream, "take", take)
    windows = {"stride": 30, "context": {"span": 600}}
    records = [("a", random_bases(6000, 1))]
    bundle, how = make_shards(complete, records, windows, "mean", 20, 3)
    dataset(bundle, how)
    assert 2 <= most <= 3


def test_outputs_that_are_read_side_by_side_share_the_rows_of_a_shard(complete):
    records = [("a", random_bases(600, 1))]
    bundle, how = make_shards(complete, records, {}, "mean", 2, 3)
    extraction = Extraction.from_dict(how["embed"]["extraction"])

    def rows(shard, **changes):
        opened = Shard.open(bundle, bundle.records[shard])
        return opened.expected_rows(replace(extraction, **changes))

    mine = rows(0)
    assert rows(0) is mine
    others = [rows(1), rows(0, pooling="first"), rows(0, skip_first=1)]
    assert len({id(mine), *map(id, others)}) == 4
    known = weakref.ref(mine)
    del mine
    gc.collect()
    assert known() is None


CHUNKS = ["chunks/b.parquet", "chunks/a.1.parquet"]
RECORDS = {CHUNKS[0]: ["x/b/00000/r.json"], CHUNKS[1]: [f"x/a.1/0000{i}/r.json" for i in range(3)]}


@given(records=st.permutations([path for paths in RECORDS.values() for path in paths]))
def test_records_in_any_order_go_to_their_bundles(records):
    grouped = BundleFiles.group(CHUNKS, [1, 3], records)
    assert grouped == [BundleFiles(chunks, RECORDS[chunks]) for chunks in CHUNKS]


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (["x/b/00000/r.json"], "a.1: each of its 2 shards .* 0 records of 0 shards"),
        (
            ["x/b/00000/r.json", "x/a.1/00001/r.json", "x/a.1/00001/r.json"],
            "2 records of 1 shards were given",
        ),
        (["x/c/00000/r.json"], "x/c/00000/r.json: no chunk table of bundle 'c'"),
    ],
)
def test_records_that_are_not_those_of_the_bundles_are_refused(records, said):
    with pytest.raises(InputError, match=said):
        BundleFiles.group(CHUNKS, [1, 2], records)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"first_stretch": 99}, "starts at stretch 99, not"),
        ({"n_stretches": 1}, "starts at stretch"),
        ({"n_chunks": 3}, "the shards have"),
        ({"stop_chunk": 1}, "for its stretches"),
    ],
)
def test_a_shard_that_is_not_what_it_says_is_refused(complete, change, said):
    windows = {"context": {"span": 120}}
    records = [("a", random_bases(900, 1))]
    bundle, how = make_shards(complete, records, windows, "mean", 3, 10)
    write_json(bundle.records[1], {**read_json(bundle.records[1]), **change})
    with pytest.raises(InputError, match=said):
        dataset(bundle, how)
