"""Speeds, memory and warnings of a plan."""

from dataclasses import replace

import numpy as np
import pytest
import yaml
from evo2_embed.engine.footprint import Footprint
from evo2_embed.engine.segment_lengths import SegmentLengths
from evo2_embed.io.files import write_json
from evo2_embed.model import registry
from evo2_embed.model.import_evo2 import import_evo2
from evo2_embed.plan.advice import MUCH_OVERLAP, overlap_lines, warnings_of
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.plan.parameters import count_parameters
from evo2_embed.plan.peak import context_peaks, gpu_peak
from evo2_embed.plan.speeds import PREDICTED, PUBLISHED, Speed, known_speeds, published_speeds
from evo2_embed.run.frozen import plan_run
from stock import YAMLS, shrunken

SEVEN = {"model": {"name": "evo2_7b"}, "layers": ["blocks.26"], "precision": "bf16"}


@pytest.mark.parametrize("name", YAMLS)
def test_parameters_are_those_of_the_modules(name):
    config = {**shrunken(name, YAMLS[name]), "use_fp8_input_projections": False}
    evo2_models = import_evo2()
    model = evo2_models.StripedHyena(evo2_models.dotdict({**config, "use_flash_attn": False}))
    counts = {"long": 0, "other": 0}
    for key, value in model.named_parameters():
        long = key.endswith(("log_poles", "residues"))
        counts["long" if long else "other"] += value.numel()
    assert count_parameters(config) == counts


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A function that plans a run on a genome of a number of bases, which is not written out."""
    monkeypatch.chdir(tmp_path)

    def plan(bases=100_000, bed="", **changes):
        with open("a.fa", "wb") as fasta:
            fasta.write(b">a\n")
            fasta.truncate(3 + bases)  # a hole in the file, which takes no room
        (tmp_path / "a.bed").write_text(bed)
        regions = "a.bed" if bed else ""
        (tmp_path / "sheet.tsv").write_text(f"genome\tfasta\tregions\na\ta.fa\t{regions}\n")
        config = {"genomes": "sheet.tsv", "extractions": {"x": {"layers": ["norm"]}}, **changes}
        run = plan_run(config)
        return run, estimate_run(run.settings, run.bundles, "none")

    return plan


def warnings(planned, per_second=None, free=1e18, temporary=(0, 0)):
    run, estimate = planned
    speeds = [Speed(per_second, "GPU", "set", "")] if per_second else []
    return warnings_of(
        run.settings, estimate, dict.fromkeys(run.settings.extractions, speeds), free, *temporary
    )


def test_a_run_that_is_fine_has_no_warning(plan):
    assert warnings(plan(), 10_000) == []


def test_one_row_per_base_of_a_human_genome_is_tens_of_terabytes(plan):
    planned = plan(
        3_100_000_000,
        extractions={"x": {**SEVEN, "pooling": {"bin": 1}}, "y": SEVEN},
        sharding={"shard_tokens": 50_000_000},
    )
    (line,) = warnings(planned)
    assert "extractions.x: blocks.26 will be 25.4 TB, with one row per base" in line
    one, other = planned[1].layers
    assert one.dataset_bytes == pytest.approx(25.4e12, rel=0.01)
    assert other.dataset_bytes < 10e9


@pytest.mark.parametrize(
    ("bases", "changes", "per_second", "free", "said"),
    [
        (10**7, {"sharding": {"shard_tokens": 1000}}, None, 1e18, "10,001 embedding jobs: more"),
        (10**7, {"sharding": {"shards": 9000}}, None, 1e18, "shards: auto and shard_tokens: 10000"),
        (10**9, {"sharding": {"shards": 5}}, 1000, 1e18, "will run for 56 hours"),
        (10**8, {"sharding": {"shards": 2}}, 2000, 1e18, "leave other GPUs idle"),
        (10**7, {"sharding": {"shards": 100}}, 50_000, 1e18, "will embed for 2 s, less than"),
        (10**8, {}, None, 1000, "1.0 kB are free"),
        (
            1000,
            {"windows": {"ambiguous": {"policy": "skip"}}},
            None,
            1e18,
            "windows that will be left out",
        ),
    ],
    ids=["many", "fixed", "long", "few", "short", "disk", "skip"],
)
def test_a_warning_for_each_way_to_go_wrong(plan, bases, changes, per_second, free, said):
    (line,) = warnings(plan(bases, **changes), per_second, free)
    assert said in line


def test_what_min_length_leaves_out_is_warned_of(plan):
    bed = "a\t0\t50\na\t50\t150\n"
    assert not warnings(plan(bed=bed))
    one = warnings(plan(bed=bed, windows={"min_length": 51}))
    assert one == ["windows.min_length: 51 leaves out 1 shorter region(s)"]
    _, line = warnings(plan(bed=bed, windows={"min_length": 200}))
    assert line == "genome a: no window is left (windows.min_length: 200); the run will stop"
    line, *_ = warnings(plan(bases=100, windows={"min_length": 101}))
    assert line == "genome a: no window is left (windows.min_length: 101); the run will stop"


@pytest.mark.parametrize(
    ("windows", "warned"),
    [
        (
            {"size": 8192, "stride": 500},
            ["stride: 500 of size 8192: each base of a strand is computed 16.4 "],
        ),
        ({"size": 8192, "stride": 5000}, []),
        (
            {"size": 1024, "context": {"span": 8192, "min": 5120}},
            ["context: min 5120 of span 8192: each base of a strand is computed 2.67 "],
        ),
        ({"size": 1024, "context": {"span": 8192, "min": 1024}}, []),
    ],
)
def test_bases_that_are_computed_several_times_are_warned_of(plan, windows, warned):
    found = [line for line in warnings(plan(windows=windows)) if "each base" in line]
    assert len(found) == len(warned)
    assert all(text in line for text, line in zip(warned, found, strict=True))


def test_a_run_that_starts_warns_of_many_times_only(plan):
    much, _ = plan(windows={"size": 8192, "stride": 500})
    twice, _ = plan(windows={"size": 1000, "stride": 500})
    (line,) = overlap_lines(much.settings, True, MUCH_OVERLAP)
    assert line.endswith("each base of a strand is computed 16.4 times")
    assert overlap_lines(much.settings, False, MUCH_OVERLAP) == []
    assert overlap_lines(twice.settings, True, MUCH_OVERLAP) == []


def test_a_pack_that_one_more_token_per_window_leaves_half_empty_is_warned_of(plan):
    windows, packing = {"size": 8192}, {"max_tokens": 16_384, "bos": True}
    (line,) = warnings(plan(10**6, windows=windows, packing=packing))
    assert "max_tokens: 16384 holds 1 window(s) of 8,193 tokens, 50% of a pack; 16386" in line
    for changes in ({"max_tokens": 16_386}, {"bos": False}):
        assert warnings(plan(10**6, windows=windows, packing={**packing, **changes})) == []
    # Regions are not cut into windows.
    run, estimate = plan(10**6, windows=windows, packing=packing)
    regions = [replace(genome, tiled=False) for genome in estimate.genomes]
    assert warnings((run, replace(estimate, genomes=regions))) == []


def test_the_advised_shards_are_not_warned_of_again(plan):
    run, estimate = plan(10**7, sharding={"shard_tokens": 1000})
    (line,) = warnings((run, estimate))
    advised = int(line.rsplit("shard_tokens: ", 1)[1].split()[0])
    assert warnings(plan(10**7, sharding={"shard_tokens": advised})) == []


def record(folder, extraction, device, tokens, seconds, **changed):
    """What a finished shard leaves of its speed."""
    settings = {"cpu_threads": 1, "extraction": {**extraction, **changed}}
    write_json(folder / "shard.json", {"settings": settings})
    write_json(folder / "speed.json", {"tokens": tokens, "seconds": seconds, "device": device})


def test_measured_speeds_come_before_set_predicted_and_published_ones(plan, tmp_path):
    (run, _), results = plan(extractions={"x": SEVEN}, runtime={"device": "cuda"}), tmp_path / "r"
    extraction = run.settings.extractions["x"].to_dict()
    predicted = known_speeds(run.settings, results)["x"]
    assert {speed.kind for speed in predicted} == {"predicted"}
    assert any("H100" in speed.device for speed in predicted)
    for changes in ({"engine": "stock"}, {"precision": "fp32"}):
        other, _ = plan(extractions={"x": SEVEN | changes}, runtime={"device": "cuda"})
        published = known_speeds(other.settings, results)["x"]
        assert {speed.kind for speed in published} == {"published"}
        assert any("H100" in speed.device for speed in published)
    runtime = {"device": "cuda", "tokens_per_second": 5.0}
    run, _ = plan(extractions={"x": SEVEN}, runtime=runtime)
    assert [s.tokens_per_second for s in known_speeds(run.settings, results)["x"]] == [5.0]

    shards = results / "shards" / "x" / "a"
    record(shards / "0", extraction, "H100", 1000, 1.0)
    record(shards / "1", extraction, "H100", 9000, 4.0)
    record(shards / "2", extraction, "cpu", 10, 1.0)
    record(shards / "3", extraction, "H100", 10, 1.0, precision="fp32")
    record(shards / "4", extraction, "H100", 10, 1.0, engine="stock")
    (shards / "5").mkdir()
    (shards / "5" / "speed.json").write_text("{")
    (speed,) = known_speeds(run.settings, results)["x"]
    assert (speed.kind, speed.tokens_per_second, speed.device) == ("measured", 2000.0, "H100")


def test_the_speed_of_jobs_of_other_depth_is_scaled(plan, tmp_path):
    shallow, _ = plan(extractions={"x": SEVEN | {"layers": ["blocks.7"]}})
    scored, _ = plan(extractions={"x": SEVEN | {"layers": ["blocks.7"], "scores": True}})
    extraction = shallow.settings.extractions["x"].to_dict()
    record(tmp_path / "shards" / "x" / "a" / "0", extraction, "H100", 1000, 1.0)
    (same,), (more,) = (known_speeds(run.settings, tmp_path)["x"] for run in (shallow, scored))
    assert same.tokens_per_second == 1000
    assert more.tokens_per_second == pytest.approx(1000 * 8 / 32)


def test_blocks_that_run_for_scores_only_are_told(plan):
    scored = SEVEN | {"layers": ["blocks.7"], "scores": True}
    (line,) = warnings(plan(extractions={"x": scored}))
    assert "scores run all 32 blocks of evo2_7b" in line
    assert "its layers need 8: without scores a job takes about 25% of the time" in line
    assert warnings(plan(extractions={"x": scored | {"layers": ["norm"]}})) == []
    assert warnings(plan(extractions={"x": scored | {"layers": []}})) == []


def test_where_nothing_is_known_nothing_is_said(plan, tmp_path):
    run, _ = plan()
    assert known_speeds(run.settings, tmp_path) == {"x": []}


def test_published_figures_have_a_source_and_known_models():
    for entry in yaml.safe_load(PUBLISHED.read_text()):
        assert set(entry) == {"models", "gpu", "code", "source", "timed"}
        assert set(entry["models"]) <= set(registry.model_names())
        assert entry["source"].startswith("https://")
        shapes = {tuple(sorted(_shape(name).items())) for name in entry["models"]}
        assert len(shapes) == 1
    near = {round(s.tokens_per_second) for s in published_speeds("evo2_7b", 1000)}
    assert round(8192 / 0.3822) in near
    far = {round(s.tokens_per_second) for s in published_speeds("evo2_7b", 60_000)}
    assert round(65536 / 6.6533) in far


def test_predicted_speeds_are_of_known_models():
    for entry in yaml.safe_load(PREDICTED.read_text(encoding="utf-8")):
        assert set(entry) == {"models", "precision", "gpu", "code", "source", "timed"}
        assert all(entry["precision"] in registry.precisions(model) for model in entry["models"])
        assert len({tuple(sorted(_shape(name).items())) for name in entry["models"]}) == 1


def _shape(name):
    config = registry.model_config(name)
    return {key: config[key] for key in ("hidden_size", "num_layers", "state_size")}


def test_peak_memory_is_weights_and_a_full_pack(plan):
    run, _ = plan(extractions={"x": SEVEN}, packing={"max_tokens": 65536})
    peak = gpu_peak(run.settings, "x")
    config = registry.model_config("evo2_7b")
    assert 13.1e9 < peak.weights < 13.3e9  # 6.58 thousand million parameters
    memory = Footprint.of_model(config, SEVEN["layers"], 2, "cuda", kernels="triton")
    assert peak.pack >= memory.bytes(SegmentLengths(np.full(8, 8192)))
    assert peak.least == memory.bytes(SegmentLengths(np.array([8192])))
    run, _ = plan(extractions={"x": {**SEVEN, "engine": "stock"}})
    assert gpu_peak(run.settings, "x").pack is None


def test_memory_of_contexts_grows_by_keys_and_values_alone(plan):
    run, _ = plan(extractions={"x": {**SEVEN, "layers": ["norm"]}})
    peaks = context_peaks(run.settings, "x")
    assert list(peaks) == [8192, 65_536, 262_144, 1_048_576]
    # Five attention blocks of width 4,096, keys and values in bfloat16.
    token = 5 * 2 * 4096 * 2
    for piece in (2048, 8192, 32_768):
        assert peaks[1_048_576][piece] - peaks[262_144][piece] == token * (1_048_576 - 262_144)
    windows = {"size": 8192, "context": {"span": 1_000_000, "min": 0, "beyond_training": False}}
    changes = {"windows": windows, "packing": {"max_tokens": 16_384}}
    whole, _ = plan(extractions={"x": SEVEN}, **changes)
    host, _ = plan(extractions={"x": SEVEN}, runtime={"kv_device": "host"}, **changes)
    one, other = (gpu_peak(each.settings, "x") for each in (whole, host))
    assert one.host == 0
    assert 0.9 * other.host < one.pack - other.pack <= other.host
    assert other.least < other.pack


def test_too_little_space_for_temporary_files_is_a_warning(plan):
    (line,) = warnings(plan(), 10_000, temporary=(3_000_000_000, 1_000_000_000))
    assert line.startswith("TMPDIR: a job will need about 3.0 GB for copies of FASTA files; 1.0 GB")
