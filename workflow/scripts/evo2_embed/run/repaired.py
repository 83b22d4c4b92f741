"""Genomes that an earlier run left out: those that are still bad, and those that changed since.

Snakemake compares times of files. A genome that was replaced by an older file, as a copy that keeps
times is, would stay left out.
"""

from pathlib import Path

from evo2_embed.genomes.skipped import input_digests, read_digest, read_skipped
from evo2_embed.io.errors import InputError
from evo2_embed.io.remote import is_current
from evo2_embed.run.frozen import Run
from evo2_embed.run.params import rule_params

SKIPPED = "skipped.tsv"


def repaired_bundles(run: Run, results: Path) -> set[str]:
    """Bundles with a genome that was left out, and that has other files or settings now.

    Raises
    ------
    InputError
        If `on_bad_genome` is `stop`: one line per genome that was left out and is as it was.
    """
    table, repaired, faults = results / SKIPPED, set(), []
    skipped = {(each.genome, each.file): each for each in read_skipped(table) if each.digest}
    for bundle in run.bundles.values() if skipped else []:
        for genome in bundle.genomes:
            known = skipped.get((genome.name, genome.fasta))
            if known is None:
                continue
            if not all(map(is_current, genome.files)):
                repaired.add(bundle.name)  # a job fetches the file again
                continue
            settings = rule_params(run, "chunk_fasta", bundle=bundle.name)["settings"]
            if read_digest(settings, input_digests(genome)) != known.digest:
                repaired.add(bundle.name)
            else:
                faults.append(
                    f"{known.reason} (left out by the last run; repair the genome, remove it from "
                    "the sheet, or set on_bad_genome: skip)"
                )
    if faults and run.settings.on_bad_genome == "stop":
        raise InputError("\n".join(faults))
    return repaired
