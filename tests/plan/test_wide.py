"""Tables of the terminal fit it, also with long names, many layers and variants."""

from pathlib import Path

import numpy as np
import pytest
import show_plan
import show_status
import yaml
from evo2_embed.io.text import COLUMNS
from evo2_embed.report.best import Best, summary_line
from evo2_embed.report.summary import Result, render_summary
from evo2_embed.run.frozen import freeze, plan_run
from runs import ROOT, random_bases, write_fasta
from safetensors.numpy import save_file
from variant_files import vcf_of

LONG = "a_rather_long_extraction_name_of_the_user"
GENOME = "GCF_900636255.1_Escherichia_coli_O157_H7_strain_with_a_long_name"
FEATURES = 300


def extractions():
    """All layers of Evo 2 7B with scores, a fusion and a head; and Evo 2 40B in FP8."""
    head = {"layer": "blocks.26", "file": "sae.safetensors", "k": 64}
    return {
        LONG: {
            "model": {"name": "evo2_7b"},
            "layers": ["all", "norm"],
            "precision": "bf16",
            "scores": True,
            "heads": {"features_of_a_long_sparse_autoencoder": head},
            "fusion": {"a_long_fusion_name_of_directions": {"method": {"pca": 64}}},
        },
        "second_long_extraction_in_fp8": {
            "model": {"name": "evo2_40b"},
            "layers": ["blocks.20"],
            "precision": "fp8",
            "pooling": {"bin": 128},
        },
    }


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A configuration with all of these, in the working folder."""
    monkeypatch.chdir(tmp_path)
    lines = ["genome\tfasta\tvariants"]
    bases = random_bases(40_000, 0)
    for number in range(12):
        write_fasta(f"{number}.fa", [("c", bases)])
        lines.append(f"{GENOME}_{number}\t{number}.fa\t{'' if number else 'v.vcf'}")
    Path("genomes.tsv").write_text("\n".join(lines) + "\n")
    Path("v.vcf").write_text(vcf_of([("c", 99, ".", bases[98], "AC"[bases[98] == "A"])]))
    weight = np.zeros((FEATURES, 4096), np.float16)
    save_file({"weight": weight, "bias": np.zeros(FEATURES, np.float32)}, "sae.safetensors")
    windows = {"size": 8192, "stride": 500, "strands": "both"}
    return {
        "genomes": "genomes.tsv",
        "windows": {**windows, "context": {"span": 65536, "min": 16384}},
        "variants": {"size": 8192},
        "runtime": {"device": "cuda", "kv_device": "host"},
        "extractions": extractions(),
        "max_output_gb": 0.001,
    }


def fits(text):
    """Whether all lines fit the terminal."""
    return max(map(len, text.splitlines())) <= COLUMNS


def test_the_help_fits():
    lines = (ROOT / "Makefile").read_text().split("\n\n")[0]
    assert "# make run " in lines
    assert fits(lines.replace("\n# ", "\n"))


def test_a_plan_fits_and_names_the_kept_features_of_a_head(config):
    Path("config.yaml").write_text(yaml.safe_dump(config))
    text = show_plan.main("config.yaml", ".", False)
    assert fits(text)
    assert "up to 64 of 300" in text
    assert "FAIL  max_output_gb: results/ would have" in text
    assert "each base of a strand is computed" in text
    config["windows"] = {"size": 8192, "stride": 500}
    config["runtime"]["kv_device"] = "device"
    Path("config.yaml").write_text(yaml.safe_dump(config))
    text = show_plan.main("config.yaml", ".", False)
    assert fits(text)
    assert (
        "WARN  windows.stride: 500 of size 8192: each base of a strand is computed 16.4 times"
        in text
    )


def test_a_status_fits(config):
    del config["max_output_gb"]
    freeze(plan_run(config), "results/run_config.yaml")
    log = Path("logs/chunk_fasta")
    log.mkdir(parents=True)
    first = next(iter(plan_run(config).bundles))
    words = "record of a genome that cannot be used " * 9
    (log / f"{first}.log").write_text(f"2026-11-24 10:00:00 ERROR {words}\n")
    text = show_status.main(".", False)
    assert "FAIL  chunk_fasta" in text
    assert fits(text)


def test_a_summary_fits():
    counts = dict.fromkeys(("n_tokens", "padded_tokens", "budget_tokens"), 6_200_000_000)
    shard = {**counts, "n_chunks": 757_000, "seconds": 1e5}
    dataset = {"rows": 757_000, "parts": [{"bytes": 24_000_000_000}]}
    scores = {**dataset, "bits_per_base": 1.9}
    manifest = {
        "genomes": [{"genome": GENOME, "counts": {"skipped: contig shorter than min_length": 9}}],
        "layers": {f"blocks.{number}": dataset for number in range(33)},
        "fusions": {"a_long_fusion_name_of_directions": dataset},
        "settings": {"packing": {"packing": {}}},
        "scores": scores,
        "rows": 25_738_000,
        "skipped": [{"genome": GENOME, "reason": "the file is cut off or damaged " * 9}],
    }
    result = Result(LONG, Path("results/embeddings") / LONG, manifest, [shard])
    best = summary_line(LONG, Best("blocks.3", "blocks.3 is not significantly worse than " * 5))
    text = render_summary([result], [best], "blocks.3")
    assert f'read it: evo2_embed.open("results", "{LONG}", "blocks.3")' in text
    # Paths to copy are not cut.
    assert fits("\n".join(x for x in text.splitlines() if not x.startswith(("or: ", "dataset: "))))
