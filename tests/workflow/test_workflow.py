"""The workflow as a user runs it: real Snakemake runs on small genomes."""

import json
import shutil

import aggregate_bundle
import duckdb
import evo2_embed
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest
import torch
from everything import (
    COMPLEMENT,
    CONTIGS,
    EXTRACTIONS,
    LAYERS,
    MIRRORED,
    SMALL,
    configure,
    prepare,
)
from evo2_embed import CODE_VERSIONS
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from evo2_embed.run.frozen import load_frozen
from runs import Workflow, write_fasta
from stock import alone, assert_same, bounds_of, in_float64, score_alone

# Bases of every window of a strand.
LENGTHS = [
    min(200, len(bases) - start)
    for bases in CONTIGS.values()
    for start in range(0, max(len(bases) - 200, 0) + 120, 120)
]


def rows_of(flow, extraction, layer):
    """A dataset, read with polars."""
    pattern = flow.folder / "results" / "embeddings" / extraction / layer / "*.parquet"
    return pl.read_parquet(pattern)


def test_the_plan_has_several_shards_of_one_genome(finished_run):
    assert set(finished_run.files("packs/*/*.parquet")) >= {
        "packs/large/00000.parquet",
        "packs/large/00001.parquet",
        "packs/small/00000.parquet",
    }


@pytest.fixture(scope="module")
def separate_calls(finished_run):
    """By layer: rows of the dataset, the same from one call of Evo2 each, and what may differ."""
    torch.set_num_threads(1)
    evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    precise = in_float64(evo2)
    table = {layer: rows_of(finished_run, "both", layer) for layer in LAYERS}
    # Of all contigs and strands, the first and the last window among them.
    chosen = [*range(0, len(table["norm"]), 7), len(table["norm"]) - 1]
    found = {layer: rows[chosen]["embedding"].to_numpy() for layer, rows in table.items()}
    stock, exact = ({layer: [] for layer in LAYERS} for _ in range(2))
    for row in table["norm"][chosen].iter_rows(named=True):
        bases = CONTIGS[row["contig"]][row["start"] : row["end"]]
        if row["strand"] == "-":
            bases = bases.translate(COMPLEMENT)[::-1]
        assert row["n_tokens"] == len(bases)
        tokens = np.frombuffer(b"\0" + bases.encode(), np.uint8)
        for model, rows in ((evo2, stock), (precise, exact)):
            for layer, values in alone(model, tokens, LAYERS).items():
                rows[layer].append(values[1:].mean(0))
    stock, exact = ({x: torch.stack(y) for x, y in rows.items()} for rows in (stock, exact))
    return found, stock, bounds_of(stock, exact)


def test_embeddings_equal_a_separate_call_of_evo2_for_each_window(separate_calls):
    assert_same(*separate_calls)


def test_scores_equal_a_call_of_the_package_for_each_window(finished_run):
    torch.set_num_threads(1)
    evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    rows = rows_of(finished_run, "both", "scores")
    assert set(rows["strand"]) == {"+"}
    assert len(rows) == len(LENGTHS)
    for row in rows[[*range(0, len(rows), 9), len(rows) - 1]].iter_rows(named=True):
        bases = CONTIGS[row["contig"]][row["start"] : row["end"]]
        assert row["scored"] == len(bases)  # the first follows the BOS
        for method in ("sum", "mean"):
            wanted = score_alone(evo2, bases, method, both=True, prepend_bos=True)
            assert row[method] == pytest.approx(wanted, rel=1e-5)
    # Bins of a window add up to it.
    bins = rows_of(finished_run, "bins", "scores").filter(contig="chrA")
    first = bins.filter(pl.col("start") < 200, pl.col("strand") == "+").filter(
        (pl.col("start") % 70 == 0) & (pl.col("end") <= 200)
    )
    bases = CONTIGS["chrA"][:200]
    assert first["scored"].to_list() == [70, 70, 60]
    wanted = score_alone(evo2, bases, "sum", prepend_bos=True)
    assert first["sum"].sum() == pytest.approx(wanted, rel=1e-5)
    record = json.loads((finished_run.folder / "results/embeddings/both/scores.json").read_text())
    bits = -rows["sum"].sum() / rows["scored"].sum() / np.log(2)
    assert record["bits_per_base"] == pytest.approx(bits, rel=1e-4)
    page = (finished_run.folder / "results/report.html").read_text()
    assert page.count("<div data-track>") == 2
    assert "bits" in (finished_run.folder / "results/summary.txt").read_text()


def test_the_summary_begins_with_the_best_layer_and_says_how_to_read_it(finished_run):
    results = finished_run.folder / "results"
    lines = (results / "summary.txt").read_text().splitlines()
    for name in EXTRACTIONS:
        (said,) = (line for line in lines if line.startswith(f"best layer of {name}: "))
        best = said.removeprefix(f"best layer of {name}: ").split()[0]
        assert len(evo2_embed.open(results, name, best))
        if name == min(EXTRACTIONS):  # the first
            assert f"dataset: results/embeddings/{name}/{best}/" in lines
            assert f'read it: evo2_embed.open("results", "{name}", "{best}")' in lines
    assert max(map(len, lines)) <= 100


def test_rows_are_sorted_and_complete(finished_run):
    order = {"large": 0, "small": 1, "chrB": 0, "chrA": 1, "chr|1": 0, "turned": 1}
    for extraction in ("both", "bins"):
        table = rows_of(finished_run, extraction, "norm")
        keys = [
            (order[str(g)], order[str(c)], start, strand)
            for g, c, start, strand in table.select("genome", "contig", "start", "strand").rows()
        ]
        assert keys == sorted(keys)
        assert table.schema["start"] == pl.Int64
        assert table.schema["n_tokens"] == pl.Int32
    assert len(rows_of(finished_run, "both", "norm")) == 2 * len(LENGTHS)
    bins = rows_of(finished_run, "bins", "norm")
    assert len(bins) == 2 * sum(-(-length // 70) for length in LENGTHS)
    assert bins["n_tokens"].sum() == 2 * sum(LENGTHS)
    assert bins.schema["embedding"] == pl.Array(pl.Float16, 128)


def test_bins_weighted_by_length_average_to_the_mean(finished_run):
    strand = pl.col("strand") == "+"
    mean = rows_of(finished_run, "both", "norm").filter(strand)
    bins = rows_of(finished_run, "bins", "norm").filter(strand)
    for row in mean.iter_rows(named=True):
        # Bins of the windows before and after lie at other distances.
        mine = bins.filter(
            (pl.col("contig") == row["contig"])
            & (pl.col("start") >= row["start"])
            & (pl.col("end") <= row["end"])
            & ((pl.col("start") - row["start"]) % 70 == 0)
        )
        weights = mine["n_tokens"].to_numpy()
        assert weights.sum() == row["n_tokens"]
        values = mine["embedding"].to_numpy().astype(np.float64)
        average = weights @ values / weights.sum()
        # float16 rounds a number by at most 2**-11 of it.
        assert np.abs(average - row["embedding"]).max() <= 2**-11 * np.abs(values).max()


def test_reverse_strand_equals_the_reverse_complemented_contig(finished_run, separate_calls):
    _, _, bounds = separate_calls
    for extraction, count in (("both", 3), ("bins", 3 * 3)):
        rows = rows_of(finished_run, extraction, "norm")
        mirrored = {}
        for row in rows.filter(contig="turned", strand="+").iter_rows(named=True):
            key = (len(MIRRORED) - row["end"], len(MIRRORED) - row["start"])
            mirrored.setdefault(key, []).append(row["embedding"])
        reverse = list(rows.filter(contig="chrA", strand="-").iter_rows(named=True))
        assert len(reverse) == count
        for row in reverse:
            candidates = mirrored[row["start"], row["end"]]
            differences = [np.abs(np.subtract(row["embedding"], c)).max() for c in candidates]
            rounding = 2**-10 * np.abs(row["embedding"]).mean()  # of float16
            assert min(differences) <= (
                float(bounds["norm"][1]) if extraction == "both" else rounding
            )


def test_levels_are_token_weighted_means(finished_run):
    folder = finished_run.folder / "results" / "embeddings" / "both"
    rows = rows_of(finished_run, "both", "norm")
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


def test_the_reader_gives_one_vector_per_genome_from_levels_and_from_fused_strands(finished_run):
    def opened(layer):
        return evo2_embed.open(finished_run.folder / "results", "both", layer)

    rows = rows_of(finished_run, "both", "norm").cast({"genome": pl.String})
    for layer in ("norm", "strands"):  # the table of a level, and rows
        assert ("genome" in opened(layer).dataset.record["levels"]) == (layer == "norm")
        found = opened(layer).genomes()
        assert found["genome"].to_list() == ["large", "small"]
        for genome, vector in zip(found["genome"], found["embedding"].to_numpy(), strict=True):
            mine = rows.filter(genome=genome)
            weights = mine["n_tokens"].to_numpy().astype(np.float64)
            wanted = weights @ mine["embedding"].to_numpy() / weights.sum()
            assert np.abs(wanted - vector).max() <= 1e-5 * np.abs(wanted).mean()


def test_the_dataset_opens_in_polars_pyarrow_pandas_and_duckdb(finished_run):
    folder = finished_run.folder / "results" / "embeddings" / "both" / "norm"
    keys = ["genome", "contig", "start", "end", "strand", "name", "n_tokens", "context", "exons"]
    columns = [*keys, "embedding"]
    with_polars = pl.scan_parquet(folder / "*.parquet").collect()
    with_arrow = ds.dataset(folder).to_table()
    with_pandas = pd.read_parquet(folder)
    query = f"select * from '{folder}/*.parquet' where contig = 'chrA' and start >= 120"
    with_duckdb = duckdb.sql(query).fetchall()
    assert with_polars.columns == columns == with_arrow.column_names == list(with_pandas.columns)
    assert len(with_polars) == len(with_arrow) == len(with_pandas) == 2 * len(LENGTHS)
    assert len(with_duckdb) == 4
    assert len(with_duckdb[0][-1]) == 128


def test_manifest_and_metadata_say_what_the_dataset_is(finished_run):
    results = finished_run.folder / "results"
    manifest = json.loads((results / "embeddings" / "both" / "manifest.json").read_text())
    assert manifest["model"] == registry.TINY
    assert manifest["precision"] == "fp32"
    assert [genome["genome"] for genome in manifest["genomes"]] == ["large", "small"]
    assert manifest["layers"]["norm"]["rows"] == 2 * len(LENGTHS)
    check = manifest["layers"]["norm"]["self_check"]
    assert 0 < check["difference"] <= check["tolerance"] == 1e-5
    assert check["kernels"] == "torch"
    part = results / "embeddings" / "both" / "norm" / "part-00000-large-00000.parquet"
    metadata = json.loads(ds.dataset(part).schema.metadata[b"evo2_embed"])
    wanted = {"model", "checkpoint_sha256", "layer", "pooling", "precision", "engine", "packages"}
    assert wanted | {"workflow", "digest"} <= set(metadata)
    assert metadata["self_check"] == check
    assert str(finished_run.folder) not in json.dumps(manifest) + json.dumps(metadata)


def test_a_second_run_does_nothing(changed_run):
    assert "Nothing to be done" in changed_run.run()


def test_one_core_and_two_give_the_same_bytes(finished_run, tmp_path):
    flow = prepare(tmp_path / "flow")
    # With two cores, the windows of the large genome are measured by two processes.
    flow.run("results/chunks/large.parquet", "results/shards/bins/small/00000/shard.json", cores=1)
    patterns = ("chunks/*", "packs/small/*", "shards/bins/small/*/norm.parquet")
    for pattern in patterns:
        assert flow.files(pattern) == finished_run.files(pattern) != {}


def test_more_shards_than_chunks_and_padding_flow_through(finished_run, separate_calls, tmp_path):
    """And `keep: datasets`: packs and shards go during the run, and are not made again."""
    flow = Workflow(tmp_path / "flow")
    name, bases = SMALL[0]
    flow.sheet({"small": write_fasta(flow.folder / "small.fa", [(name, bases[:200])])})
    configure(
        flow,
        windows={"size": 200, "stride": 120},
        packing={"strategy": "padded", "pad": "EOS", "bos": True, "max_tokens": 500},
        sharding={"shards": 2},
        probe=None,
        export=None,
        keep="datasets",
        extractions={"both": {"layers": ["norm"]}},
    )
    targets = ("results/embeddings/both/manifest.json", "results/tidied/small.json")
    flow.run(*targets)
    assert not flow.files("packs/**/*") | flow.files("shards/**/*")
    bundle = flow.folder / "results/bundles/both/small"
    assert list(read_json(bundle / "shards/norm.json")["shards"]) == ["00000", "00001"]
    # Of each shard its packs, rows, record and speed.
    assert read_json(flow.folder / targets[1])["files"] == 2 * 4
    assert not flow.planned(*targets)
    padded = rows_of(flow, "both", "norm")
    packed = rows_of(finished_run, "both", "norm").filter(contig="chr|1", strand="+", start=0)
    assert len(padded) == 1
    assert padded.drop("embedding").equals(packed.drop("embedding"))
    found, wanted = ({"norm": each["embedding"].to_numpy()} for each in (padded, packed))
    assert_same(found, wanted, separate_calls[2])


SHARD = "results/shards/both/large/00000"


def damage(flow, how):
    """Damage a file of a shard."""
    path = flow.folder / SHARD / "norm.parquet"
    content = bytearray(path.read_bytes())
    if how == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif how == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif how == "swap":
        shutil.copy(path.with_name(f"{LAYERS[0]}.parquet"), path)
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["truncate", "flip", "swap", "remove"])
def test_a_damaged_shard_names_itself(changed_run, monkeypatch, how):
    damage(changed_run, how)
    monkeypatch.chdir(changed_run.folder)
    run = load_frozen("results/run_config.yaml")
    settings = {"code": CODE_VERSIONS["aggregate"], "embed": run.embed_settings("both")}
    jobs = run.jobs("embed_shard", extraction="both", bundle="large")
    arguments = (
        [f"results/{job.outputs['record']}" for job in jobs],
        "results/chunks/large.parquet",
        [],
        len(jobs),
        ["norm"],
        {**settings, "levels": []},
        "new/norm.json",
        "new/shards.json",
    )
    with pytest.raises(InputError, match=f"{SHARD}/norm.parquet.* rerun"):
        aggregate_bundle.main(*arguments)


def test_after_its_shard_was_damaged_a_run_recovers_as_it_says(finished_run, changed_run):
    damage(changed_run, "flip")
    shutil.rmtree(changed_run.folder / "results/embeddings/both/norm")
    (changed_run.folder / "results/embeddings/both/norm.json").unlink()
    target = "results/embeddings/both/norm.json"
    assert f"delete {SHARD} and rerun" in changed_run.run(target, fails=True)
    shutil.rmtree(changed_run.folder / SHARD)
    changed_run.run(target)
    pattern = "embeddings/both/norm*/**/*"
    assert changed_run.files(pattern) == finished_run.files(pattern) != {}
