"""Call the genes of a FASTA file: `python resources/training/call_genes.py IN.fa[.gz] OUT.gff3`.

Uses Pyrodigal in its mode for short sequences (metagenomic), without training on the genome.
"""

import sys
from pathlib import Path

import pyrodigal
from corpus import read_records


def call_genes(fasta: Path, output: Path) -> int:
    """Write the genes of all records as GFF3 (CDS features); returns their number."""
    finder = pyrodigal.GeneFinder(meta=True)
    lines = ["##gff-version 3"]
    for name, tokens in read_records(fasta):
        for gene in finder.find_genes(tokens.tobytes()):
            strand = "+" if gene.strand > 0 else "-"
            place = (name, "pyrodigal", "CDS", gene.begin, gene.end, f"{gene.score:.1f}", strand)
            lines.append("\t".join(map(str, (*place, 0, "."))))
    output.write_text("\n".join(lines) + "\n")
    return len(lines) - 1


if __name__ == "__main__":
    print(f"{call_genes(Path(sys.argv[1]), Path(sys.argv[2]))} genes")
