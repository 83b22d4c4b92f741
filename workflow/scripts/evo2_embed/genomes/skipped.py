"""Genomes that a run left out: the file that names them, and what it says of their files."""

import csv
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.files import atomic_path
from evo2_embed.io.text import MESSAGE, shown


@dataclass(frozen=True)
class Skipped:
    """A genome that was left out.

    Attributes
    ----------
    genome, file : str
        Its name, and its FASTA file.
    reason : str
        In one line.
    digest : str
        `read_digest` of what a job read; empty for faults that are found when a run starts, which
        looks for them each time.
    """

    genome: str
    file: str
    reason: str
    digest: str = ""


_COLUMNS = [each.name for each in fields(Skipped)]


def input_digests(genome: Genome) -> dict:
    """What a chunk table says of the files of a genome."""
    digests = {"genome": genome.name, "fasta_sha256": file_sha256(genome.fasta)}
    digests |= {"record_names": "full"} if genome.full_names else {}
    if genome.regions:
        digests["regions_sha256"] = file_sha256(genome.regions)
        digests |= {"circular": genome.circular} if genome.circular else {}
    if genome.variants:
        digests["variants_sha256"] = file_sha256(genome.variants)
    return digests


def read_digest(settings: dict, inputs: dict) -> str:
    """Digest of the files of a genome, see `input_digests`, and of the settings by which they are
    cut into windows: with others the genome may be usable."""
    return settings_digest([settings, inputs])


def write_skipped(path: str | Path, skipped: list[Skipped]) -> None:
    """Write the table of genomes that are left out; it has only a header line if there are none."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as handle:
        for cells in (_COLUMNS, *map(astuple, skipped)):
            handle.write("\t".join(shown(cell, MESSAGE) for cell in cells) + "\n")


def read_skipped(path: str | Path) -> list[Skipped]:
    """Read a table of `write_skipped`; nothing if it is missing or was edited."""
    try:
        with open(path, encoding="utf-8", newline="") as handle:
            rows = list(csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, ValueError, csv.Error):
        return []
    return [Skipped(*row) for row in rows[1:] if len(row) == len(_COLUMNS)]
