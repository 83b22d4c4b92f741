"""The workflow as a user runs it: real Snakemake runs on small genomes."""

import json
import shutil

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest
import torch
from evo2_embed.model import models
from evo2_embed.model.loading import load_model
from runs import Workflow, merged, random_bases, write_fasta

COMPLEMENT = str.maketrans("ACGT", "TGCA")
GENOME = [("chrB", random_bases(1230, 1)), ("chrA", random_bases(400, 2))]
OTHER = [("chr|1 x", random_bases(300, 3))]
EXTRACTIONS = {
    "both": {"layers": ["blocks.6.mlp.l3", "norm"], "levels": ["contig", "genome"]},
    "bins": {"layers": ["blocks.2"], "pooling": {"bin": 30}, "dtype": "float16"},
}
SETTINGS = {
    "windows": {"size": 200, "stride": 120, "strands": "both"},
    "packing": {"bos": True, "max_tokens": 500},
    "sharding": {"shard_tokens": 2500},
}


def prepare(folder, extractions=EXTRACTIONS, **changes):
    """A working folder with two genomes: one of two shards, one small."""
    flow = Workflow(folder)
    large = write_fasta(folder / "large.fa", GENOME)
    small = write_fasta(folder / "small.fa", OTHER)
    flow.sheet({"large": large, "small": small})
    flow.configure(**{**merged(SETTINGS, changes), "extractions": extractions})
    return flow


def rows_of(flow, extraction, layer):
    """A dataset, read with polars."""
    pattern = flow.folder / "results" / "embeddings" / extraction / layer / "*.parquet"
    return pl.read_parquet(pattern)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    flow = prepare(tmp_path_factory.mktemp("finished") / "flow")
    flow.output = flow.run()
    return flow


def test_the_plan_has_several_shards_of_one_genome(finished):
    assert set(finished.files("packs/*/*.parquet")) >= {
        "packs/large/00000.parquet",
        "packs/large/00001.parquet",
        "packs/small/00000.parquet",
    }


def test_embeddings_equal_a_separate_call_of_evo2_for_each_window(finished):
    torch.set_num_threads(1)
    evo2 = load_model(models.TINY, models.bundled_checkpoint(), "fp32")
    sequences = {name.split()[0]: sequence for name, sequence in GENOME + OTHER}
    rows = {layer: rows_of(finished, "both", layer) for layer in EXTRACTIONS["both"]["layers"]}
    assert len(rows["norm"]) == 2 * (10 + 3 + 2)
    for index, row in enumerate(rows["norm"].iter_rows(named=True)):
        bases = sequences[row["contig"]][row["start"] : row["end"]]
        if row["strand"] == "-":
            bases = bases.translate(COMPLEMENT)[::-1]
        ids = torch.tensor([[0, *bases.encode()]])
        _, outputs = evo2.forward(ids, return_embeddings=True, layer_names=list(rows))
        assert row["n_tokens"] == len(bases)
        for layer, table in rows.items():
            wanted = outputs[layer][0, 1:].numpy().astype(np.float64).mean(axis=0)
            found = table["embedding"][index].to_numpy()
            assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).mean()


def test_rows_are_sorted_and_complete(finished):
    order = {"large": 0, "small": 1, "chrB": 0, "chrA": 1, "chr|1": 0}
    for extraction, layer in (("both", "norm"), ("bins", "blocks.2")):
        table = rows_of(finished, extraction, layer)
        keys = [
            (order[str(g)], order[str(c)], start, strand)
            for g, c, start, strand in table.select("genome", "contig", "start", "strand").rows()
        ]
        assert keys == sorted(keys)
        assert table.schema["start"] == pl.Int64
        assert table.schema["n_tokens"] == pl.Int32
    # 30-base bins of windows of 200 bases (7 bins) and of the short last ones.
    lengths = [200] * 9 + [150] + [200, 200, 160] + [200, 180]
    bins = rows_of(finished, "bins", "blocks.2")
    assert len(bins) == 2 * sum(-(-length // 30) for length in lengths)
    assert bins["n_tokens"].sum() == 2 * sum(lengths)
    assert bins.schema["embedding"] == pl.Array(pl.Float16, 128)


def test_bins_weighted_by_length_average_to_the_mean(tmp_path):
    extractions = {
        "mean": {"layers": ["norm"]},
        "bins": {"layers": ["norm"], "pooling": {"bin": 64}},
    }
    flow = prepare(tmp_path / "flow", windows={"stride": 200}, extractions=extractions)
    flow.run()
    mean = rows_of(flow, "mean", "norm").filter(pl.col("strand") == "+")
    bins = rows_of(flow, "bins", "norm").filter(pl.col("strand") == "+")
    for row in mean.iter_rows(named=True):
        mine = bins.filter(
            (pl.col("contig") == row["contig"])
            & (pl.col("start") >= row["start"])
            & (pl.col("end") <= row["end"])
        )
        weights = mine["n_tokens"].to_numpy()
        assert weights.sum() == row["n_tokens"]
        average = weights @ mine["embedding"].to_numpy().astype(np.float64) / weights.sum()
        assert np.abs(average - row["embedding"]).max() <= 1e-5 * np.abs(average).mean()


def test_reverse_strand_equals_the_reverse_complemented_genome(tmp_path):
    # Lengths at which the windows of a contig and of its mirror image fall together.
    given = [("one", random_bases(200 + 3 * 120, 4)), ("two", random_bases(90, 5))]
    turned = [(name, sequence.translate(COMPLEMENT)[::-1]) for name, sequence in given]
    flow = Workflow(tmp_path / "flow")
    flow.sheet(
        {
            "given": write_fasta(tmp_path / "given.fa", given),
            "turned": write_fasta(tmp_path / "turned.fa", turned),
        }
    )
    bins = {"layers": ["norm"], "pooling": {"bin": 70}}
    flow.configure(**SETTINGS, extractions={"mean": {"layers": ["norm"]}, "bins": bins})
    flow.run()
    lengths = {name: len(sequence) for name, sequence in given}
    for extraction, count in (("mean", 4 + 1), ("bins", 4 * 3 + 2)):
        rows = list(rows_of(flow, extraction, "norm").iter_rows(named=True))
        mirrored = {}
        for row in rows:
            if row["genome"] == "turned" and row["strand"] == "+":
                length = lengths[row["contig"]]
                key = (row["contig"], length - row["end"], length - row["start"])
                mirrored.setdefault(key, []).append(row["embedding"])
        reverse = [row for row in rows if row["genome"] == "given" and row["strand"] == "-"]
        assert len(reverse) == count
        for row in reverse:
            candidates = mirrored[(row["contig"], row["start"], row["end"])]
            differences = [np.abs(np.subtract(row["embedding"], c)).max() for c in candidates]
            assert min(differences) <= 1e-5 * np.abs(row["embedding"]).mean()


def test_levels_are_token_weighted_means(finished):
    folder = finished.folder / "results" / "embeddings" / "both"
    rows = rows_of(finished, "both", "norm")
    for level, keys in (
        ("contig", ["genome", "contig", "strand"]),
        ("genome", ["genome", "strand"]),
    ):
        table = pl.read_parquet(folder / f"norm.{level}.parquet")
        groups = rows.with_columns(pl.col("genome", "contig").cast(pl.String)).partition_by(
            keys, as_dict=True, maintain_order=True
        )
        assert len(table) == len(groups)
        for row in table.iter_rows(named=True):
            mine = groups[tuple(row[key] for key in keys)]
            weights = mine["n_tokens"].to_numpy().astype(np.float64)
            wanted = weights @ mine["embedding"].to_numpy() / weights.sum()
            assert row["n_tokens"] == weights.sum()
            assert row["n_rows"] == len(mine)
            assert np.abs(wanted - row["embedding"]).max() <= 1e-5 * np.abs(wanted).mean()


def test_the_dataset_opens_in_polars_pyarrow_pandas_and_duckdb(finished):
    folder = finished.folder / "results" / "embeddings" / "both" / "norm"
    keys = ["genome", "contig", "start", "end", "strand", "name", "n_tokens", "context"]
    columns = [*keys, "embedding"]
    with_polars = pl.scan_parquet(folder / "*.parquet").collect()
    with_arrow = ds.dataset(folder).to_table()
    with_pandas = pd.read_parquet(folder)
    query = f"select * from '{folder}/*.parquet' where contig = 'chrA' and start >= 120"
    with_duckdb = duckdb.sql(query).fetchall()
    assert with_polars.columns == columns == with_arrow.column_names == list(with_pandas.columns)
    assert len(with_polars) == len(with_arrow) == len(with_pandas) == 30
    assert len(with_duckdb) == 4
    assert len(with_duckdb[0][-1]) == 128


def test_manifest_and_metadata_say_what_the_dataset_is(finished):
    results = finished.folder / "results"
    manifest = json.loads((results / "embeddings" / "both" / "manifest.json").read_text())
    assert manifest["model"] == models.TINY
    assert manifest["precision"] == "fp32"
    assert [genome["genome"] for genome in manifest["genomes"]] == ["large", "small"]
    assert manifest["layers"]["norm"]["rows"] == 30
    check = manifest["layers"]["norm"]["self_check"]
    assert 0 < check["difference"] <= check["tolerance"] == 1e-5
    part = results / "embeddings" / "both" / "norm" / "part-00000.parquet"
    metadata = json.loads(ds.dataset(part).schema.metadata[b"evo2_embed"])
    wanted = {"model", "checkpoint_sha256", "layer", "pooling", "precision", "engine", "packages"}
    assert wanted | {"workflow", "digest"} <= set(metadata)
    assert metadata["self_check"] == check
    assert str(finished.folder) not in json.dumps(manifest) + json.dumps(metadata)


def test_a_second_run_does_nothing(finished):
    assert "Nothing to be done" in finished.run()


def test_one_core_and_two_give_the_same_bytes(finished, tmp_path):
    flow = prepare(tmp_path / "flow")
    flow.run(cores=1)
    assert flow.dataset() == finished.dataset()


def test_more_shards_than_chunks_and_padding_flow_through(finished, tmp_path):
    flow = prepare(
        tmp_path / "flow",
        packing={"strategy": "padded", "pad": "EOS"},
        sharding={"shards": 4},
        extractions={"both": EXTRACTIONS["both"]},
    )
    write_fasta(tmp_path / "flow" / "small.fa", OTHER[:1])
    flow.run("results/embeddings/both/manifest.json")
    assert len(flow.files("packs/*/*.parquet")) == 8
    packed, padded = rows_of(finished, "both", "norm"), rows_of(flow, "both", "norm")
    assert padded.drop("embedding").equals(packed.drop("embedding"))
    difference = np.abs(padded["embedding"].to_numpy() - packed["embedding"].to_numpy())
    assert difference.max() <= 1e-5 * np.abs(packed["embedding"].to_numpy()).mean()


@pytest.mark.parametrize("damage", ["truncate", "flip", "swap", "remove"])
def test_a_damaged_shard_names_itself(finished, tmp_path, damage):
    flow = finished.copy_to(tmp_path / "flow")
    path = flow.folder / "results/shards/both/large/00000/norm.parquet"
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "swap":
        shutil.copy(path.with_name("blocks.6.mlp.l3.parquet"), path)
    else:
        path.unlink()
    output = flow.run("--forcerun", "aggregate_embeddings", fails=True)
    assert "large/00000/norm.parquet" in output
    assert "rerun" in output
