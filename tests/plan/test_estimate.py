"""The cost before the run: held against the real windows, the real modules and a real run."""

import contextlib
import gzip
import json
import os
import random
import subprocess
import sys
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import show_plan
import torch
import yaml
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.chunk.windows import tile_windows
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.model import registry
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.plan import contigs
from evo2_embed.plan.bundles import Bundle
from evo2_embed.plan.contigs import MOST_SAMPLE, read_contigs, sample_size
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.plan.parameters import count_parameters, weight_bytes
from evo2_embed.plan.tokens import tally
from evo2_embed.run.frozen import plan_run
from evo2_embed.settings.windows import Context, Windows
from runs import SCRIPTS, Workflow, merged, random_bases, write_fasta

# How far a size may be off: of shard files and datasets; of packs, which are small.
SIZE_TOLERANCE, PACK_TOLERANCE = 0.15, 0.25


def numbers(folder):
    """What `show_plan.py --json` prints."""
    with contextlib.chdir(folder):
        return json.loads(show_plan.main("config/config.yaml", ".", True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of a genome, a draft of many contigs and two regions; the plan that was shown
    before it started."""
    flow = Workflow(tmp_path_factory.mktemp("estimate") / "flow")
    write_fasta(flow.folder / "large.fa", [("chr", random_bases(24_000, 1))])
    drafts = [(f"c{i}", random_bases(50 + 37 * i, i)) for i in range(25)]
    write_fasta(flow.folder / "draft.fa", drafts)
    (flow.folder / "r.bed").write_text("chr\t10\t5010\nchr\t700\t900\tx\t0\t-\n")
    flow.sheet({"large": "large.fa", "draft": "draft.fa", "some": ("large.fa", "r.bed")})
    flow.configure(
        windows={"size": 1000, "stride": 700, "strands": "both", "min_length": 80},
        packing={"max_tokens": 8192, "bos": True},
        sharding={"shard_tokens": 80_000},
        extractions={
            "mean": {"layers": ["blocks.0"], "levels": ["contig", "genome"], "scores": True},
            "bins": {"layers": ["blocks.0"], "pooling": {"bin": 16}, "scores": True},
        },
    )
    before = numbers(flow.folder)
    assert not (flow.folder / "results").exists()
    assert flow.planned() == {**before["jobs"], "all": 1}
    flow.run("--until", "aggregate_embeddings", "aggregate_scores")
    return flow, before


def test_a_run_has_the_windows_tokens_and_rows_of_its_plan(finished):
    flow, plan = finished
    results = flow.folder / "results"
    shards = [read_json(path) for path in results.glob("shards/mean/*/*/shard.json")]
    assert plan["totals"]["windows"] == sum(shard["n_chunks"] for shard in shards)
    assert plan["totals"]["tokens"] == sum(shard["n_tokens"] for shard in shards)
    assert plan["totals"]["shards"] == len(shards) > 1
    records = {
        (path.parent.name, path.stem): read_json(path)
        for path in results.glob("embeddings/*/*.json")
    }
    assert len(plan["layers"]) == len(records) == 4
    for layer in plan["layers"]:
        assert layer["rows"] == records[layer["extraction"], layer["layer"]]["rows"]


def test_files_are_as_large_as_their_plan_said(finished):
    flow, plan = finished
    results = flow.folder / "results"

    def size(pattern):
        return sum(path.stat().st_size for path in results.glob(pattern))

    assert plan["totals"]["pack_bytes"] == pytest.approx(
        size("packs/*/*.parquet"), rel=PACK_TOLERANCE
    )
    for layer in plan["layers"]:
        extraction, name = layer["extraction"], layer["layer"]
        assert layer["shard_bytes"] == pytest.approx(
            size(f"shards/{extraction}/*/*/{name}.parquet"), rel=SIZE_TOLERANCE
        )
        folder = f"embeddings/{extraction}/{name}"
        assert layer["dataset_bytes"] == pytest.approx(
            size(f"{folder}/*.parquet") + size(f"{folder}.*.parquet"), rel=SIZE_TOLERANCE
        )


def test_with_keep_datasets_only_the_largest_bundle_has_packs_and_shards(finished):
    _, plan = finished
    totals, tokens = plan["totals"], Counter()
    for genome in plan["genomes"]:
        tokens[genome["bundle"]] += genome["tokens"]
    assert len(tokens) > 1
    share = max(tokens.values()) / sum(tokens.values())
    removed = (1 - share) * (totals["pack_bytes"] + totals["shard_bytes"])
    assert totals["bytes_with_keep_datasets"] == pytest.approx(totals["bytes"] - removed, abs=2)


def test_a_finished_run_gives_the_speed_of_the_next(finished):
    flow, _ = finished
    before = sorted((p, p.stat().st_mtime_ns) for p in flow.folder.rglob("*"))
    plan = numbers(flow.folder)
    assert sorted((p, p.stat().st_mtime_ns) for p in flow.folder.rglob("*")) == before
    (speed,) = plan["speeds"]["mean"]
    timed = [read_json(p) for p in flow.folder.glob("results/shards/*/*/*/speed.json")]
    whole = sum(t["tokens"] for t in timed) / sum(t["seconds"] for t in timed)
    assert speed["kind"] == "measured"
    assert speed["tokens_per_second"] == pytest.approx(whole, rel=1e-3)
    assert speed["hours"] == pytest.approx(plan["totals"]["tokens"] / whole / 3600, rel=1e-3)


def test_windows_are_counted_as_they_are_tiled():
    rng = random.Random(0)
    for _ in range(2000):
        size, length, bins = rng.randint(1, 40), rng.randint(0, 200), rng.randint(1, 9)
        windows = Windows(
            size=size,
            stride=rng.randint(1, 60),
            last=rng.choice(["keep", "shift"]),
            min_length=rng.randint(1, size),
        )
        starts, ends = tile_windows(length, size, windows.stride, windows.last)
        lengths = (ends - starts)[ends - starts >= windows.min_length]
        if length < windows.min_length:
            lengths = lengths[:0]
        found = tally([(length, 2)], windows, {bins})
        assert found["windows"] == 2 * len(lengths), windows
        assert found["bases"] == 2 * lengths.sum(), windows
        assert found["rows"][bins] == 2 * (-(-lengths // bins)).sum(), windows


@pytest.mark.parametrize("members", [1, 100])
def test_a_small_file_that_unpacks_to_very_much_takes_little_memory(tmp_path, monkeypatch, members):
    monkeypatch.setattr(contigs, "MOST_TEXT", 1 << 20)
    path = tmp_path / "a.fa.gz"
    parts = [b">a\n", *[b"N" * (30_000_000 // members)] * members]
    path.write_bytes(b"".join(map(gzip.compress, parts)))
    tracemalloc.start()
    found = read_contigs(Genome("a", str(path)), tmp_path / "none", 1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 << 20
    assert not found.exact
    assert found.bases == pytest.approx(30_000_000, rel=0.1)


@pytest.mark.parametrize("packed", [None, "gzip", "members"])
def test_a_part_of_a_file_gives_the_bases_of_all_of_it(tmp_path, packed):
    records = [(f"contig{i}", random_bases(20_000, i)) for i in range(40)]
    path = Path(write_fasta(tmp_path / "a.fa", records))
    text = path.read_bytes()
    if packed:
        path = tmp_path / "a.fa.gz"
        step = 30_000 if packed == "members" else len(text)  # of bgzip, many; of gzip, one
        pieces = [text[i : i + step] for i in range(0, len(text), step)]
        path.write_bytes(b"".join(map(gzip.compress, pieces)))
    genome = Genome("a", str(path))
    part = read_contigs(genome, tmp_path / "none", 80_000 if packed else 250_000)
    assert not part.exact
    assert part.bases == pytest.approx(800_000, rel=0.01)
    assert part.count == pytest.approx(40, abs=1)
    whole = read_contigs(genome, tmp_path / "none", MOST_SAMPLE)
    assert whole.exact
    assert [length for length, _ in whole.lengths] == [20_000] * 40


def test_an_index_is_taken_if_it_is_no_older_than_the_file(tmp_path):
    path = tmp_path / "a.fa"
    write_fasta(path, [("x", "ACGT" * 100)])
    index = tmp_path / "a.fai"
    index.write_text("x\t77\t3\t60\t61\n")
    genome = Genome("a", str(path))
    assert read_contigs(genome, index, 10).bases == 77
    os.utime(index, (1, 1))
    assert read_contigs(genome, index, 10_000).bases == 400


def test_a_sheet_of_many_genomes_is_read_a_little_of_each():
    assert sample_size(1) == MOST_SAMPLE
    assert sample_size(10_000) * 10_000 <= 100 << 20


def test_parameters_are_those_of_the_bundled_checkpoint():
    state = torch.load(registry.bundled_checkpoint(), weights_only=True)
    buffers = sum(value.numel() for key, value in state.items() if key.endswith("inv_freq"))
    config = registry.model_config(registry.TINY)
    counts = count_parameters(config)
    assert sum(counts.values()) == sum(value.numel() for value in state.values()) - buffers
    assert weight_bytes(config, "fp32") == 4 * sum(counts.values())
    assert weight_bytes(config, "bf16") == 2 * counts["other"] + 4 * counts["long"]


def test_the_limit_refuses_a_run_and_names_the_largest_part(tmp_path, monkeypatch):
    config = small_run(tmp_path, monkeypatch, extractions=BINS)
    size = estimate_run(plan_run(config).settings, plan_run(config).bundles, "none").bytes
    assert plan_run({**config, "max_output_gb": size / 1e9 + 1e-6})
    low = {**config, "max_output_gb": size / 1e9 - 1e-6}
    with pytest.raises(InputError, match=r"^max_output_gb: .* for extraction 'tokens' \(allowed"):
        plan_run(low)
    Path("config.yaml").write_text(yaml.safe_dump(low))
    assert "FAIL  max_output_gb: results/ would have about" in show_plan.main(
        "config.yaml", ".", False
    )


BINS = {"tokens": {"layers": ["norm"], "pooling": {"bin": 1}}, "one": {"layers": ["norm"]}}


def small_run(folder, monkeypatch, **changes):
    """The configuration of a run on one small genome, with changes."""
    monkeypatch.chdir(folder)
    write_fasta("a.fa", [("a", random_bases(5000, 1))])
    Path("sheet.tsv").write_text("genome\tfasta\na\ta.fa\n")
    base = {"genomes": "sheet.tsv", "extractions": {"one": {"layers": ["norm"]}}}
    return merged(base, changes)


def test_a_fault_of_the_configuration_is_a_line(tmp_path, monkeypatch):
    config = small_run(tmp_path, monkeypatch, windows={"size": 0})
    Path("config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, str(SCRIPTS / "show_plan.py"), "--configfile", "config.yaml"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith("config error: windows.size: 0 is out of bounds")
    assert done.stderr.count("\n") == 1
    with pytest.raises(InputError, match=r"^no.yaml: cannot be read \(No such file"):
        show_plan.main("no.yaml", ".", False)


def test_a_configuration_of_its_own_extends_the_one_of_the_folder(tmp_path, monkeypatch):
    config = small_run(tmp_path, monkeypatch, windows={"size": 1000, "strands": "both"})
    Path("config").mkdir()
    Path("config/config.yaml").write_text(yaml.safe_dump(config))
    Path("mine.yaml").write_text("windows: {size: 500}\n")
    plan = json.loads(show_plan.main("mine.yaml", ".", True))
    assert plan["totals"]["windows"] == 2 * 5000 / 500
    assert [layer["extraction"] for layer in plan["layers"]] == ["one"]


def test_rows_of_the_table_add_up(tmp_path, monkeypatch):
    config = small_run(tmp_path, monkeypatch)
    names = [f"g{i}" for i in range(30)]
    lines = [f"{name}\ta.fa" for name in names]
    Path("sheet.tsv").write_text("\n".join(["genome\tfasta", *lines]) + "\n")
    Path("config.yaml").write_text(yaml.safe_dump(config))
    rows = [line.split() for line in show_plan.main("config.yaml", ".", False).splitlines()]
    assert ["20", "smaller", "100,000", "20", "100,000"] in rows
    assert ["all", "150,000", "30", "150,000", "1"] in rows


def estimated_and_packed(genome, settings):
    """The estimate of a genome, and the metadata of its packs."""
    sections = settings.windows.to_dict(), settings.regions.to_dict()
    chunk_bundle([genome], sections[0], "i", "c.parquet", 1, regions=sections[1])
    how = {"packing": settings.packing.to_dict(), "code": 1}
    packed = pack_shard([genome], "c.parquet", 0, 1, how, "i", "p/0.parquet")
    (estimate,) = estimate_run(settings, {"g": Bundle("g", (genome,), 1)}, "i").genomes
    return estimate, packed


@pytest.mark.parametrize("strands", ["+", "-", "both"])
@pytest.mark.parametrize("flank", [0, 70])
def test_regions_are_counted_as_they_are_packed(complete, strands, flank):
    records = [(f"c{i}", random_bases(length, i)) for i, length in enumerate((2_345, 640))]
    genome = Genome("g", write_fasta("g.fa", records), "r.bed", "all" if strands == "-" else None)
    Path("r.bed").write_text("c1\t600\t640\nc0\t50\t2345\nc1\t1\t9\nc0\t5\t90\tx\t0\t-\n")
    settings = complete(
        windows={"strands": strands, "min_length": 20},
        regions={"flank": flank},
        packing={"bos": True},
        extractions={"bins": {"layers": ["norm"], "pooling": {"bin": 16}}},
    )
    estimate, packed = estimated_and_packed(genome, settings)
    assert estimate.exact
    assert (estimate.windows, estimate.tokens) == (packed.n_chunks, packed.n_tokens)
    lengths = pl.read_parquet("c.parquet")["length"]
    assert estimate.rows == {16: -(-lengths // 16).sum()}
    assert not flank or packed.n_tokens > packed.n_bases + packed.n_chunks


@pytest.mark.parametrize("strands", ["+", "-", "both"])
@pytest.mark.parametrize("regions", [None, "c0\t300\t900\nc1\t10\t400\nc0\t1\t90\tx\t0\t-\n"])
def test_what_stretches_run_is_counted_as_it_is_packed(complete, strands, regions):
    records = [(f"c{i}", random_bases(length, i)) for i, length in enumerate((2_345, 640, 70))]
    genome = Genome("g", write_fasta("g.fa", records), regions and "r.bed")
    Path("r.bed").write_text(regions or "")
    settings = complete(
        windows={"size": 100, "stride": 30, "strands": strands, "min_length": 80},
        regions={"rows": "window"},
        packing={"bos": True, "piece": 50},
    )
    for span, least in ((200, 100), (500, 0), (1_000, 333), (9_999, 0)):
        windows = replace(settings.windows, context=Context(span=span, min=least))
        settings = replace(settings, windows=windows)
        estimate, packed = estimated_and_packed(genome, settings)
        assert estimate.exact
        assert (estimate.windows, estimate.tokens) == (packed.n_chunks, packed.n_tokens)
