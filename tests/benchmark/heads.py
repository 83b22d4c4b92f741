"""A probe of one genome, applied to others: `python tests/benchmark/heads.py GENOMES WORK`.

A probe learns coding sequence of a part of C. diphtheriae, and its best layer is chosen by
cross-validation there. It is saved, and a second run applies it to parts of other bacteria. GENOMES
is the folder that resources/training/fetch_genomes.py fills; genes are those of Pyrodigal.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import yaml
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("workflow/scripts", "resources/training")]

from call_genes import call_genes  # noqa: E402
from corpus import read_records  # noqa: E402

BASES, WINDOW, COVERED = 200_000, 200, 0.9
OWN = "GCF_001457455.1_NCTC11397_genomic.fna.gz"
CONFIG = {
    "genomes": "genomes.tsv",
    "windows": {"size": WINDOW},
    "compare": {"rows": 0},
    "burn_in": {"length": 0},
    "report": {"umap": False},
}
PROBE = {"labels": "genes.gff3", "feature": "CDS", "min_overlap": COVERED, "gap": 1000}
LAYERS = [{"every": 3}, "norm"]


def prepare(folder: Path, genomes: list[Path], extraction: dict, **more) -> None:
    """A working folder: the last bases of the longest record of each genome, and their genes."""
    (folder / "config").mkdir(parents=True)
    rows, genes = ["genome\tfasta"], ["##gff-version 3"]
    for path in genomes:
        name = path.name.split(".")[0]
        tokens = max((tokens for _, tokens in read_records(path)), key=len)[-BASES:]
        fasta = folder / f"{name}.fa"
        fasta.write_text(f">{name}\n{tokens.tobytes().decode()}\n")
        call_genes(fasta, folder / "one.gff3")
        genes += (folder / "one.gff3").read_text().splitlines()[1:]
        rows.append(f"{name}\t{fasta.name}")
    (folder / "genes.gff3").write_text("\n".join(genes) + "\n")
    (folder / "genomes.tsv").write_text("\n".join(rows) + "\n")
    config = {**CONFIG, **more, "extractions": {"default": extraction}}
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))


def run(folder: Path) -> None:
    """Run the workflow in a folder."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--quiet", "all"]
    subprocess.run([*command, "--directory", str(folder), "--cores", "2"], cwd=ROOT, check=True)


def covered(folder: Path, contig: str, rows: pl.DataFrame) -> np.ndarray:
    """Share of each row's bases that are in a gene."""
    inside = np.zeros(BASES + 1, np.int64)
    for line in (folder / "genes.gff3").read_text().splitlines()[1:]:
        cells = line.split("\t")
        if cells[0] == contig:
            inside[int(cells[3]) - 1 : int(cells[4])] = 1
    bases = np.concatenate([[0], np.cumsum(inside)])
    starts, ends = rows["start"].to_numpy(), rows["end"].to_numpy()
    return (bases[ends] - bases[starts]) / (ends - starts)


def main(genomes: Path, work: Path) -> None:
    own, others = work / "own", work / "others"
    prepare(own, [genomes / OWN], {"layers": LAYERS}, probe=PROBE)
    run(own)
    record = json.loads((own / "results/probes/default.json").read_text())
    layer, scores = record["best"], record["scores"]
    head = {"layer": layer, "file": "genes.safetensors"}
    files = [path for path in sorted(genomes.glob("*.f*a*")) if path.name != OWN]
    prepare(others, files, {"layers": [layer], "heads": {"genes": head}})
    shutil.copy(own / f"results/probes/default/{layer}.safetensors", others / "genes.safetensors")
    run(others)
    print(f"layer {layer}; area under the ROC curve, coding against not coding")
    print(f"{own.name} genome, cross-validated: {scores[layer]['mean']:.3f}", record["labels"])
    print(f"{own.name} genome, GC and k-mers:   {scores['gc_kmers']['mean']:.3f}")
    table = pl.read_parquet(others / "results/heads/default/genes/*.parquet")
    for (name,), rows in table.group_by(pl.col("genome").cast(pl.String), maintain_order=True):
        share = covered(others, name, rows)
        used = (share >= COVERED) | (share <= 1 - COVERED)
        coding, found = share[used] >= COVERED, rows["p_CDS"].to_numpy()[used]
        counts = f"{coding.sum():,} coding, {(~coding).sum():,} not"
        print(f"{name}: {roc_auc_score(coding, found):.3f} ({counts})")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
