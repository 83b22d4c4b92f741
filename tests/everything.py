"""One finished run with jobs of every rule, for all tests that only read one."""

import fcntl
import os
import random
import shutil
from pathlib import Path

import numpy as np
from runs import Workflow, random_bases, write_fasta
from safetensors.numpy import save_file

COMPLEMENT = str.maketrans("ACGT", "TGCA")
# Lengths at which the windows of a contig and of its mirror image fall together.
MIRRORED = random_bases(200 + 2 * 120, 2)
SMALL = [("chr|1 x", random_bases(300, 3)), ("turned", MIRRORED.translate(COMPLEMENT)[::-1])]
LAYERS = ["blocks.6.mlp.l3", "norm"]
FUSIONS = {
    "directions": {"method": {"pca": 3}},
    "strands": {"method": "mean", "layers": ["norm"], "strands": "mean"},
}
# A probe of a fusion, and a sparse autoencoder that fits the width of the bundled model.
FEATURES = "features.safetensors"
HEADS = {
    "features": {"layer": LAYERS[0], "file": FEATURES, "k": 3},
    "genes": {"layer": "directions"},
}
EXTRACTIONS = {
    "both": {
        "layers": LAYERS,
        "levels": ["contig", "genome"],
        "fusion": FUSIONS,
        "heads": HEADS,
        "scores": True,
        "score_strands": "mean",
    },
    "bins": {"layers": ["norm"], "pooling": {"bin": 70}, "dtype": "float16", "scores": True},
}
SETTINGS = {
    "windows": {"size": 200, "stride": 120, "strands": "both"},
    "packing": {"bos": True, "max_tokens": 500},
    "sharding": {"shard_tokens": 20_000},
    "compare": {"rows": 30, "control": 4},
    "burn_in": {"length": 1024, "starts": 2},
    "probe": {"labels": "genes.gff3", "feature": "CDS", "folds": 3, "max_rows": 400},
    "export": ["finetune", "bigwig"],
    "finetune": {"block": 1000, "gap": 20, "validation_share": 0.3},
}


def gene_bases(genes=11, seed=0):
    """Bases with genes that are rich in GC, and the lines of a GFF3 that names them."""
    rng = random.Random(seed)
    bases, lines = [], ["##gff-version 3"]
    for number in range(2 * genes):
        start, length = len(bases), rng.randint(300, 600)
        gc = 0.35 if number % 2 else 0.15
        bases += rng.choices("ACGT", weights=[0.5 - gc, gc, gc, 0.5 - gc], k=length)
        if number % 2:
            lines.append(f"chrB\tx\tCDS\t{start + 1}\t{start + length}\t.\t+\t0\tID=c{number}")
    return "".join(bases), lines


def autoencoder(width=128, outputs=40):
    """Arrays of a sparse autoencoder."""
    rng = np.random.default_rng(5)
    weight = rng.standard_normal((outputs, width)).astype(np.float16)
    return {"weight": weight, "bias": rng.standard_normal(outputs, np.float32)}


GENES, GFF3 = gene_bases()
LARGE = [("chrB", GENES), ("chrA", MIRRORED)]
CONTIGS = {name.split()[0]: bases for name, bases in LARGE + SMALL}


def configure(flow, **changes):
    """Write the configuration of the run, with changes; `extractions` replaces all of them."""
    flow.configure(**{"extractions": EXTRACTIONS, **SETTINGS, **changes})


def list_genomes(flow, names=("large", "small")):
    """Write the sheet."""
    flow.sheet({name: f"{name}.fa" for name in names})


def prepare(folder):
    """The working folder before the run: a genome of two shards, and a small one."""
    flow = Workflow(folder)
    write_fasta(flow.folder / "large.fa", LARGE)
    write_fasta(flow.folder / "small.fa", SMALL)
    save_file(autoencoder(), flow.folder / FEATURES, {"model": "evo2_tiny"})
    (flow.folder / "genes.gff3").write_text("\n".join(GFF3) + "\n")
    list_genomes(flow)
    configure(flow)
    return flow


def finished(folder, lock):
    """The finished run in a folder; the first process that asks for it makes it."""
    folder, done = Path(folder), Path(f"{folder}.done")
    with open(lock, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            prepare(folder).run()
            done.touch()
    return Workflow.at(folder)


def shared_folder(tmp_path_factory):
    """A folder that all worker processes of a test session have in common, and with SHARED_RUNS
    several sessions, too."""
    if os.environ.get("SHARED_RUNS"):
        return Path(os.environ["SHARED_RUNS"])
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
