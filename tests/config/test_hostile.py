"""Names, cells and values that would like to be commands or paths: they stay text."""

import os

import polars as pl
import pytest
import torch
from evo2_embed.config.schema import schema_faults
from evo2_embed.genomes.sample_sheet import read_sheet
from evo2_embed.io.errors import InputError
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from runs import Workflow, random_bases

COMMANDS = ["a;touch ran", "$(touch ran)", "`touch ran`", "a|b", "a&b", "a b", "a'b", 'a"b', "a\\b"]
PATHS = ["..", "../up", "/etc/x", "a/b", ".hidden", "-rf", "~"]
TEXTS = ["a\n", "\na", "a\nb", "a\x00", "{input}", "{", "%s", "a\tb", "ä", ""]
# What a FASTA header or a BED file may hold without being refused.
NAMES = [
    "$(touch${IFS}ran)",
    "`touch${IFS}ran`",
    "../../../ran",
    "{input}{0}",
    "<script>alert(1)</script>",
    "'\";&|>ran",
    "%s%n",
    "\x1b[31mred\x07",
    "right\u202eleft",
    "long" * 100_000,
]


class _Evil:
    def __reduce__(self):
        return (open, ("ran", "w"))


@pytest.mark.parametrize("name", COMMANDS + PATHS + TEXTS)
def test_such_names_are_refused_where_they_become_file_names(name, tmp_path):
    extraction = {"layers": ["norm"]}
    faults = schema_faults({"genomes": "g.tsv", "extractions": {name: extraction}})
    assert len(faults) == 1, name
    faults = schema_faults(
        {"genomes": "g.tsv", "extractions": {"a": {"layers": [f"blocks.1{name}"]}}}
    )
    assert bool(faults) == (name not in ("..", ".hidden", "")), name
    sheet = tmp_path / "sheet.tsv"
    sheet.write_bytes(f"genome\tfasta\n{name}\tx.fa\n".encode())
    genomes, faults = read_sheet(str(sheet))
    # Blanks around a cell are no part of it.
    assert faults or [genome.name for genome in genomes] == [name.strip()]


@pytest.mark.parametrize("content", [[1, 2], 3, "text", {"norm.scale": [1]}, {1: 2}])
def test_a_file_of_torch_that_holds_something_else_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(InputError, match="other.pt: not a checkpoint of evo2_tiny"):
        load_model(registry.TINY, tmp_path / "other.pt", "fp32")


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"norm.scale": _Evil()}, "evil.pt")
    with pytest.raises(InputError, match="evil.pt: not a checkpoint"):
        load_model(registry.TINY, "evil.pt", "fp32")
    assert os.listdir() == ["evil.pt"]


def test_a_run_on_hostile_names_writes_nothing_but_its_results(tmp_path):
    flow = Workflow(tmp_path / "flow $(touch ran);'&")
    fasta = flow.folder / "in $(touch ran);'\"&|`touch ran`" / "*?[a] .fa"
    fasta.parent.mkdir()
    records = [(f"{name}", random_bases(300, i)) for i, name in enumerate(NAMES)]
    fasta.write_text("".join(f">{name} $(touch ran)\n{bases}\n" for name, bases in records))
    regions = flow.folder / "regions;touch ran.bed"
    regions.write_text("".join(f"{name}\t0\t200\t{name}\t0\t+\n" for name in NAMES))
    flow.sheet({"g": (str(fasta.relative_to(flow.folder)), regions.name)})
    weights = flow.folder / "weights;$(touch ran).pt"
    weights.write_bytes(registry.bundled_checkpoint().read_bytes())
    flow.configure(
        extractions={"a": {"layers": ["norm"]}},
        model={"checkpoint": weights.name},
        model_directory="../$(touch ran){b}",
    )
    # A dataset may be on another disk.
    (flow.folder / "elsewhere").mkdir()
    (flow.folder / "results" / "embeddings" / "a").mkdir(parents=True)
    (flow.folder / "results" / "embeddings" / "a" / "norm").symlink_to("../../../elsewhere")
    before = set(tmp_path.rglob("*"))
    said = flow.run()
    made = {path.relative_to(flow.folder).parts[0] for path in set(tmp_path.rglob("*")) - before}
    assert made == {"results", "logs", "benchmarks", ".snakemake", "elsewhere"}
    assert not list(tmp_path.rglob("ran"))
    rows = pl.read_parquet(flow.folder / "elsewhere" / "*.parquet", glob=True)
    assert rows["contig"].to_list() == NAMES
    assert rows["name"].to_list() == NAMES
    page = (flow.folder / "results" / "report.html").read_text()
    assert "<script>alert(1)" not in page
    assert r"right\\u202eleft" in page
    for text in (page, said, *(log.read_text() for log in flow.folder.glob("logs/**/*.log"))):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "long" * 100 not in text
    assert "Nothing to be done" in flow.run()
