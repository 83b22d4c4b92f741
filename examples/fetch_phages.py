"""Write `phages/` again: `python examples/fetch_phages.py`. The files are in the repository.

The genomes and their genes are in a package of PyPI (84 MB): phages of the BASEL collection (Maffei
et al., PLoS Biology 2021), annotated with Pharokka.
"""

import gzip
import io
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE, FOLDER = "lovis4u==0.2.0", "BaselCollection"
PHAGES = Path(__file__).resolve().parent / "phages"
# Of these the genes, too, and rows of equal length on both strands: bases from start to start.
STEPS = {"Lambda": 400, "Bas14": 100}
ROW, UNSEEN = 200, (26_000, 34_000)


def names() -> list[str]:
    """Phages of the sheet."""
    lines = (PHAGES.parent / "config" / "genomes.tsv").read_text().splitlines()[1:]
    return sorted({Path(line.split("\t")[1]).name.removesuffix(".fa.gz") for line in lines})


def split(text: str) -> tuple[str, str]:
    """The lines of features of a GFF3 file, and the FASTA record in it."""
    features, _, record = text.partition("##FASTA\n")
    return features, record


def write_tiles(name: str, step: int, features: str) -> None:
    """Write rows of `ROW` bases, one every `step` bases, on each strand; of the other phage only
    those in `UNSEEN`, which has genes on both strands."""
    whole = 0, int(re.search(r"##sequence-region \S+ 1 (\d+)", features)[1])
    first, last = whole if name == "Lambda" else UNSEEN
    lines = [
        f"{name}\t{start}\t{start + ROW}\t.\t.\t{strand}\n"
        for start in range(first, last - ROW + 1, step)
        for strand in "+-"
    ]
    (PHAGES / f"{name}.tiles.bed").write_text("".join(lines))


def write_labels() -> None:
    """Write what each base of lambda is, on each strand: in a gene of this strand, or not."""
    features = (PHAGES / "Lambda.gff3").read_text()
    length = int(re.search(r"##sequence-region \S+ 1 (\d+)", features)[1])
    lines = ["genome\tcontig\tstart\tend\tstrand\tlabel\n"]
    for strand in "+-":
        genes = sorted(
            (int(cells[3]) - 1, int(cells[4]))
            for cells in (line.split("\t") for line in features.splitlines())
            if len(cells) == 9 and cells[2] == "CDS" and cells[6] == strand
        )
        end = 0
        for first, last in [*genes, (length, length)]:
            if first > end:
                lines.append(f"lambda\tLambda\t{end}\t{first}\t{strand}\tother\n")
            if last > first:
                lines.append(f"lambda\tLambda\t{first}\t{last}\t{strand}\tgene\n")
            end = max(end, last)
    (PHAGES / "labels.tsv").write_text("".join(lines))


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--no-binary",
            ":all:",
        ]
        subprocess.run([*command, "-d", place, PACKAGE], check=True)
        archive = next(Path(place).glob("*.tar.gz")).read_bytes()
    PHAGES.mkdir(exist_ok=True)
    wanted = {f"{FOLDER}/{name}.gff": name for name in names()}
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            name = wanted.get("/".join(Path(member.name).parts[-2:]))
            if name is None:
                continue
            features, record = split(files.extractfile(member).read().decode())
            # Without a time, the same bytes each time.
            (PHAGES / f"{name}.fa.gz").write_bytes(gzip.compress(record.encode(), mtime=0))
            if name in STEPS:
                (PHAGES / f"{name}.gff3").write_text(features)
                write_tiles(name, STEPS[name], features)
    write_labels()


if __name__ == "__main__":
    main()
