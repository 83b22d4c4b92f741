"""Configuration and sheet: every fault found, all at once, before anything is imported or run."""

import math
import os
import re
import time

import pytest
import yaml
from evo2_embed.config.context import beyond_training
from evo2_embed.config.resolve import resolve
from evo2_embed.config.schema import schema_faults
from evo2_embed.export import packages
from evo2_embed.export.packages import package_faults
from evo2_embed.genomes.sample_sheet import Genome, read_sheet
from evo2_embed.genomes.sheet_files import file_faults
from evo2_embed.io.errors import InputError
from evo2_embed.model import registry
from evo2_embed.settings.windows import Context
from runs import CONFIG, ROOT, Workflow, merged, random_bases, run_python, write_fasta


def faults(complete, **changes):
    with pytest.raises(InputError) as error:
        complete(**changes)
    return str(error.value).splitlines()


def context(**keys):
    return {"windows": {"context": keys}}


def extraction(**keys):
    return {"extractions": {"default": {"layers": ["norm"], **keys}}}


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("windows",),
        ("windows", "ambiguous"),
        ("windows", "context"),
        ("packing",),
        ("sharding",),
        ("model",),
        ("runtime",),
        ("extractions", "default"),
        ("extractions", "default", "model"),
    ],
)
def test_an_unknown_key_is_refused_at_every_level(path):
    change = {"strnads": 1}
    for key in reversed(path):
        change = {key: change}
    (fault,) = schema_faults(merged(CONFIG, change))
    assert "unknown key 'strnads'" in fault
    assert ".".join(path) in fault
    assert "allowed: " in fault


@pytest.mark.parametrize("value", [None, "finetune", "atlas", [], ["anndata", "finetune"]])
def test_export_is_a_name_or_a_list_of_names(complete, value):
    exports = complete(export=value).exports
    asked = {value} if isinstance(value, str) else set(value or [])
    assert {name for name, wanted in vars(exports).items() if wanted} == asked


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("zarr", 'export: "zarr" is not allowed (allowed: null, anndata, atlas, '),
        (["atlas", "zarr"], 'export.1: "zarr" is not allowed (allowed: anndata, atlas, '),
        (["atlas", "atlas"], 'export: ["atlas", "atlas"] has a duplicate entry'),
    ],
)
def test_other_exports_are_refused(value, line):
    (fault,) = schema_faults(merged(CONFIG, {"export": value}))
    assert fault.startswith(line)


def test_a_run_says_at_its_start_which_packages_its_exports_lack(complete, monkeypatch):
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "h5py" else name)
    assert package_faults(complete(export=["lance", "atlas", "finetune"])) == []
    assert package_faults(complete(export="bigwig")) == []
    assert package_faults(complete(export=["anndata", "lance"])) == [
        "export: anndata: the package h5py is missing: run `make export-env`, or pip install -r "
        "envs/requirements-export.txt"
    ]
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    (line,) = package_faults(complete(export="bigwig"))
    assert line.endswith(
        "pyBigWig is missing: run `make env`, or pip install -r envs/requirements.txt"
    )


def test_a_close_key_is_suggested():
    (fault,) = schema_faults(merged(CONFIG, {"windows": {"strnads": "+"}}))
    assert "did you mean 'strands'?" in fault


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"windows": {"size": 0}}, "windows.size: 0 is out of bounds (allowed: 1 to 1048576)"),
        ({"windows": {"size": "8k"}}, 'windows.size: "8k" is of the wrong type (allowed: integer)'),
        (
            {"windows": {"strands": "*"}},
            'windows.strands: "*" is not allowed (allowed: +, -, both)',
        ),
        ({"sharding": {"shards": "many"}}, "allowed: auto, a whole number, 1 to 99999"),
        (extraction(pooling={"bin": 0}), "extractions.default.pooling"),
        (extraction(layers=["norm", "norm"]), "has a duplicate entry"),
        (extraction(layers=[]), "extractions.default.layers"),
        (extraction(layers=["../../x"]), "is not a valid name"),
        (extraction(layers=["nrom"]), "'nrom' does not exist"),
        (extraction(layers=["blocks.8"]), "evo2_tiny has 8 blocks, blocks.0 to blocks.7"),
        (extraction(layers=["blocks.3.filter"]), "allowed in this block"),
        (extraction(precision="fp8"), "allowed: fp32, bf16"),
        (extraction(pooling={"bin": 201}), "pooling.bin: 201 is more than windows.size"),
        (extraction(pooling={"center": 201}), "pooling.center: 201 is more than windows.size"),
        (
            extraction(pooling={"center": 20, "bin": 20}),
            "extractions.default.pooling",
        ),
        (
            extraction(skip_first=200),
            "skip_first: 200 leaves nothing to pool of the first window of a contig, which has "
            "windows.size (200) bases and no upstream context (allowed: 0 to 199",
        ),
        (extraction(skip_first=110, pooling={"center": 20}), "(allowed: 0 to 109, or larger"),
        (extraction(skip_first=200, pooling={"bin": 10}), "leaves nothing to pool"),
        (extraction(layers=[], scores=True, levels=["contig"]), "layers: [] allows no fusion"),
        (
            extraction(scores=True, score_strands="mean"),
            "score_strands: mean needs scores: true and both strands of every window",
        ),
        (
            extraction(scores=True, fusion={"scores": {"method": "mean"}}),
            "the name 'scores' is the scores'",
        ),
        (extraction(model={"name": "evo2_9b"}), "'evo2_9b' is not known (did you mean"),
        (extraction(model={"checkpoint": "no.pt"}), "no such file 'no.pt'"),
        (
            {"extractions": {"CON": {"layers": ["norm"]}, "con": {"layers": ["norm"]}}},
            "extractions: 'con' and 'CON' differ in upper and lower case only",
        ),
        (
            extraction(fusion={"a": {"method": "mean"}, "A": {"method": "mean"}}),
            "extractions.default.fusion: 'a' and 'A' differ in upper and lower case only",
        ),
        ({"max_output_gb": math.nan}, "max_output_gb: nan is not allowed (allowed: a finite"),
        ({"runtime": {"tokens_per_second": math.nan}}, "runtime.tokens_per_second: nan is not"),
        ({"windows": {"ambiguous": {"max_share": math.inf}}}, "ambiguous.max_share: inf is not"),
        (
            extraction(fusion={"a": {"method": "weighted", "weights": [math.nan]}}),
            "extractions.default.fusion.a.weights.0: nan is not allowed",
        ),
        ({"windows": {"min_length": 300}}, "windows.min_length: 300 is more than windows.size"),
        ({"regions": {"rows": "window", "flank": 9}}, "regions.flank: needs regions.rows: region"),
        ({"regions": {"rows": "window", "splice": True}}, "regions.splice: needs regions.rows"),
        ({"regions": {"features": []}}, "regions.features"),
        ({"regions": {"off_contig": "cut"}}, 'regions.off_contig: "cut" is not allowed'),
        (
            {"packing": {"max_tokens": 200, "bos": True, "strategy": "padded"}},
            "packing.max_tokens: 200 is too small for one window of 200 bases and a BOS",
        ),
        (
            {"packing": {"piece": 100}, **extraction(engine="stock")},
            "in segments with extractions.default.engine: stock (allowed: at least 200)",
        ),
        (
            {"packing": {"piece": 100}, "export": "finetune"},
            "packing.piece: 100 is too small for one window of 200 bases",
        ),
        ({"packing": {"max_tokens": 300, "piece": 301}}, "packing.piece: 301 is more than"),
        (context(span=299, min=100), "windows.context.span: 299 is less than a window of 200"),
        (context(min=1), "windows.context.min: 1 bases of context need"),
        (context(span=0), "windows.context.span: 0 is not allowed (allowed: size, a whole"),
        (
            {**context(span=500), "packing": {"strategy": "padded"}},
            "span: 500 does not work with packing.strategy: padded (allowed: size)",
        ),
        ({**context(span=500), **extraction(engine="stock")}, "default.engine: stock"),
        ({**context(span=500), "export": "finetune"}, "does not work with export: finetune"),
    ],
)
def test_a_wrong_value_is_one_line_that_says_what_is_allowed(complete, changes, said):
    (fault,) = faults(complete, **changes)
    assert said in fault


def test_all_faults_are_shown_at_once(complete):
    lines = faults(
        complete,
        windows={"min_length": 300},
        packing={"max_tokens": 10, "piece": 11},
        extractions={"default": {"layers": ["blocks.99", "nrom"], "precision": "fp8"}},
    )
    assert len(lines) == 5


def test_faults_of_the_schema_do_not_hide_those_of_the_sheet_and_the_layers(complete):
    lines = faults(
        complete,
        genomes="missing.tsv",
        windwos={},
        windows={"size": -3},
        extractions={"default": {"layers": ["nrom"]}, "other": {"layers": ["norm"], "x": 1}},
    )
    assert len(lines) == 5
    for part in ("windwos", "windows.size: -3", "missing.tsv", "'nrom'", "other: unknown key 'x'"):
        assert any(part in line for line in lines), part


@pytest.mark.parametrize(
    ("name", "layer", "exists"),
    [
        ("evo2_7b", "blocks.28.mlp.l3", True),
        ("evo2_7b", "blocks.32", False),
        ("evo2_1b_base", "blocks.28.mlp.l3", False),
        ("evo2_20b", "blocks.28.mlp.l3", False),
        ("evo2_40b", "blocks.49.inner_mha_cls", True),
    ],
)
def test_layers_are_those_of_the_package_s_own_settings(name, layer, exists):
    assert (registry.layer_fault(name, layer) is None) == exists


def test_precisions_and_contexts_are_those_of_the_models(complete):
    assert registry.precisions("evo2_1b_base") == registry.precisions("evo2_40b") == ("fp8",)
    assert "bf16" in registry.precisions("evo2_7b")
    short = ("evo2_7b_base", "evo2_1b_base")
    assert [registry.context_length(name) for name in short] == [8192, 8192]
    assert registry.context_length("evo2_7b_262k") == 262_144
    lines = faults(
        complete,
        **extraction(model={"name": "evo2_7b_base"}, precision="bf16"),
        windows={"size": 8192},
        packing={"bos": True, "max_tokens": 9000},
    )
    assert len(lines) == 1
    assert "8192 bases and a BOS are more than the training context" in lines[0]


def test_a_span_beyond_training_needs_a_key_and_gives_a_warning(complete):
    trained = registry.context_length("evo2_7b_base")
    long = extraction(model={"name": "evo2_7b_base"}, precision="bf16")
    assert not beyond_training(complete(**long, **context(span=trained)))
    (fault,) = faults(complete, **long, **context(span=trained + 1))
    assert "span: 8193 bases are more than the training context of evo2_7b_base" in fault
    assert "beyond_training: true" in fault
    settings = complete(**long, **context(span=trained + 1, beyond_training=True))
    (warning,) = beyond_training(settings)
    assert "extractions.default: contexts of up to 8,193 tokens" in warning


def test_a_run_says_at_its_start_that_spans_exceed_training(tmp_path):
    flow = Workflow(tmp_path / "flow")
    write_fasta(flow.folder / "a.fa", [("a", random_bases(500, 1))])
    flow.sheet({"a": "a.fa"})
    flow.configure(windows={"context": {"span": 1_048_577, "beyond_training": True}})
    output = flow.run("--until", "chunk_fasta")
    (line,) = (line for line in output.splitlines() if "training" in line)
    assert line.startswith("warning: extractions.default: contexts of up to 1,048,577 tokens")


def test_windows_longer_than_a_pack_run_in_segments(complete):
    settings = complete(packing={"max_tokens": 50})
    assert settings.packing.piece == 50
    assert settings.windows.context == Context()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("genome,fasta\n", "column 'genome' is missing"),
        ("genome\tfasta\tFasta\na\tany.fa\tx.fa\n", "column 'Fasta': did you mean 'fasta'?"),
        ("genome\tfasta\tbases\na\tany.fa\t9\n", "column 'bases': the name is one of results/"),
        ("genome\tfasta\t\na\tany.fa\t9\n", "column '': a column needs a name"),
        ("genome\tfasta\ta\x1bb\na\tany.fa\t9\n", "no control characters"),
        ("genome\tfasta\tyear\tyear\na\tany.fa\t1\t2\n", "column 'year' occurs twice"),
        ("genome\tfasta\n", "no genomes below"),
        ("genome\tfasta\n../x\tany.fa\n", "line 2: genome '../x'"),
        ("genome\tfasta\na b\tany.fa\n", "line 2: genome 'a b'"),
        ("genome\tfasta\n$(x)\tany.fa\n", "genome '$(x)'"),
        ("genome\tfasta\na\t\n", "line 2: genome 'a': no fasta"),
        ("genome\tfasta\na\tany.fa\tx\n", "3 cells under 2 columns"),
    ],
)
def test_a_sheet_s_faults_name_the_line(tmp_path, text, said):
    path = tmp_path / "sheet.tsv"
    path.write_text(text)
    genomes, lines = read_sheet(str(path))
    assert any(said in line for line in lines)
    assert all("sheet.tsv" in line for line in lines)


def test_a_name_that_is_there_twice_is_refused_in_either_case(complete, tmp_path):
    complete()
    (tmp_path / "genomes.tsv").write_text("genome\tfasta\na\tany.fa\nA\tany.fa\n")
    with pytest.raises(InputError, match="genome 'A' occurs twice .first as 'a'."):
        resolve(CONFIG)


def test_a_path_with_braces_is_refused_and_one_with_blanks_and_quotes_is_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["a {b}.fa", "a\x1b[31m.fa", "a\u202eaf.exe", "it's $(x) a.fa"]
    for name in names:
        (tmp_path / name).write_text(">a\nACGT\n")
    faults = [line for name in names for line in file_faults("sheet.tsv", Genome("x", name))]
    assert len(faults) == 3
    for fault, name in zip(faults, ["a {b}.fa", r"a\x1b[31m.fa", r"a\u202eaf.exe"], strict=True):
        assert f"genome 'x': fasta '{name}': a path must not contain {{ or }} or control" in fault


def test_a_sheet_may_have_a_bom_comments_and_windows_line_ends(tmp_path):
    path = tmp_path / "sheet.tsv"
    path.write_bytes(b"\xef\xbb\xbfgenome\tfasta\r\n# a comment\r\n\r\na\tany.fa\r\n")
    genomes, lines = read_sheet(str(path))
    assert [(g.name, g.fasta, g.regions) for g in genomes] == [("a", "any.fa", None)]
    assert not lines


def test_names_of_circular_records_may_have_blanks_if_names_are_full(complete, tmp_path):
    write_fasta(tmp_path / "a.fa", [("p 1", "ACGT" * 50), ("q 2", "ACGT" * 50)])
    (tmp_path / "a.bed").write_text("q 2\t190\t210\n")
    complete(record_names="full")
    text = "genome\tfasta\tregions\tcircular\na\ta.fa\ta.bed\tq 2, p 1\n"
    (tmp_path / "genomes.tsv").write_text(text)
    _, (genome,) = resolve(merged(CONFIG, {"record_names": "full"}))
    assert genome.circular == ("q 2", "p 1")
    with pytest.raises(InputError, match="no record 'q 2' in a.fa"):
        resolve(CONFIG)


def test_paths_of_the_sheet_may_have_a_tilde_or_be_addresses_of_files(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    path = tmp_path / "sheet.tsv"
    cells = ["~/a.fa", "file:///data/b%20c.fa", "file://localhost/d.fa", "file:/e.fa", "x~/f.fa"]
    rows = [f"g{n}\t{cell}\t~/r.bed" for n, cell in enumerate(cells)]
    path.write_text("genome\tfasta\tregions\n" + "\n".join(rows))
    genomes, lines = read_sheet(str(path))
    assert not lines
    wanted = ["/home/me/a.fa", "/data/b c.fa", "/d.fa", "/e.fa", "x~/f.fa"]
    assert [genome.fasta for genome in genomes] == wanted
    assert {genome.regions for genome in genomes} == {"/home/me/r.bed"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_sheet_that_a_spreadsheet_saved_as_utf_16_is_refused_by_name(tmp_path, encoding):
    path = tmp_path / "sheet.tsv"
    path.write_bytes("\ufeffgenome\tfasta\r\na\tany.fa\r\n".encode(encoding))
    genomes, (line,) = read_sheet(str(path))
    assert line == f"{path}: the sheet is UTF-16 text (allowed: UTF-8, separated by tabs)"
    assert not genomes


def test_the_shipped_configuration_is_valid(monkeypatch):
    monkeypatch.chdir(ROOT)
    settings, genomes = resolve(yaml.safe_load((ROOT / "config" / "config.yaml").read_text()))
    assert [genome.name for genome in genomes] == ["lambda"]


def test_planning_a_run_imports_nothing_heavy(tmp_path):
    code = (
        "import sys, yaml; from evo2_embed.run.frozen import plan_run;"
        "plan_run(yaml.safe_load(open('config/config.yaml')));"
        "print([n for n in ('torch', 'polars', 'pyarrow', 'evo2', 'vortex') if n in sys.modules])"
    )
    assert run_python(code, ROOT) == "[]"


def test_a_file_from_the_future_is_refused_before_any_job(complete, tmp_path):
    write_fasta(tmp_path / "weights.pt", [("x", "A")])
    complete(model={"checkpoint": "weights.pt"})
    moment = time.time() + 100
    os.utime(tmp_path / "any.fa", (moment, moment))
    os.utime(tmp_path / "weights.pt", (moment, moment))
    (tmp_path / "genomes.tsv").write_text("genome\tfasta\nany\tany.fa\n")
    genomes, _ = read_sheet("genomes.tsv")
    (fault,) = file_faults("genomes.tsv", *genomes)
    assert re.search("fasta 'any.fa': modified in the future .*; touch it", fault)
    with pytest.raises(InputError, match="'weights.pt': modified in the future"):
        resolve(merged(CONFIG, {"model": {"checkpoint": "weights.pt"}}))


@pytest.mark.parametrize("key", ["genomes", "model_directory"])
def test_a_path_with_a_null_character_is_one_line(complete, key):
    with pytest.raises(InputError, match="a path must not|cannot be read as a sheet"):
        complete(**{key: "a\0b"})


def test_triton_kernels_need_a_gpu(complete, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    runtime = {"device": "cpu", "kernels": "triton"}
    assert any(
        "runtime.kernels: triton needs a GPU" in line for line in faults(complete, runtime=runtime)
    )
    complete(runtime={"device": "auto", "kernels": "triton"})
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    complete(runtime=runtime)
