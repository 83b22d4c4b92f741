"""What evo2_tiny has learned: `python resources/training/evaluate_evo2_tiny.py GENOMES WORK`.

Bits per base on held-out sequence, compared with Markov models of the same genomes. And, from a run
of the workflow in the folder WORK, how well each layer separates coding from intergenic windows of
the held-out sequence, compared with GC and k-mer counts.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml
from tabulate import tabulate

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from call_genes import call_genes  # noqa: E402
from corpus import Corpus, load_corpus  # noqa: E402
from evo2_embed.model.loading import load_model  # noqa: E402
from evo2_embed.model.registry import TINY, bundled_checkpoint  # noqa: E402
from markov import markov_bits, markov_counts, of_genome  # noqa: E402
from train_evo2_tiny import held_out_bits  # noqa: E402

LENGTHS = (1024, 8192)
ORDERS = (3, 5, 7)
WINDOW = 200
CONFIG = {
    "genomes": "genomes.tsv",
    "windows": {"size": WINDOW},
    "extractions": {"default": {"layers": ["embedding_layer", "all", "norm"]}},
    "compare": {"rows": 0},
    "report": {"umap": False},
    "probe": {
        "labels": "genes.gff3",
        "feature": "CDS",
        "min_overlap": 0.9,
        "group": "block",
        "gap": 1000,
    },
}


def bits_table(corpus: Corpus) -> list[dict]:
    """One row per held-out sequence: bits per base of the model and of Markov models."""
    model = load_model(TINY, bundled_checkpoint(), "fp32").model
    counts = {f"order {order}": markov_counts(corpus.contigs, order) for order in ORDERS}
    alone = of_genome(corpus, corpus.contigs[0].file)
    counts["order 5, C. diphtheriae alone"] = markov_counts(alone, 5)
    return [
        {
            "held out": name,
            "bases": len(tokens),
            **{f"evo2_tiny, {n}": held_out_bits(model, tokens, n) for n in LENGTHS},
            **{label: markov_bits(table, tokens) for label, table in counts.items()},
        }
        for name, tokens in corpus.held_out.items()
    ]


def run_probe(corpus: Corpus, folder: Path) -> dict:
    """Run the workflow on the held-out sequence; returns its verdict on the probes."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    with open(folder / "held_out.fa", "w") as handle:
        for number, tokens in enumerate(corpus.held_out.values()):
            handle.write(f">stretch{number}\n{tokens.tobytes().decode()}\n")
    call_genes(folder / "held_out.fa", folder / "genes.gff3")
    (folder / "genomes.tsv").write_text("genome\tfasta\nheld_out\theld_out.fa\n")
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--quiet", "all"]
    command += ["--directory", str(folder), "--cores", "2"]
    subprocess.run(command, cwd=ROOT, check=True)
    return json.loads((folder / "results" / "probes" / "default.json").read_text())


def main(genomes: Path, folder: Path) -> None:
    corpus = load_corpus(genomes)
    left_out = sum(int(np.sum(~contig.kept)) for contig in corpus.contigs)
    print(
        f"{left_out:,} bases were not trained on: held out, or close to a region that lambda shares"
    )
    print(tabulate(bits_table(corpus), headers="keys", floatfmt=".3f", intfmt=","))
    print(json.dumps(run_probe(corpus, folder), indent=2))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
