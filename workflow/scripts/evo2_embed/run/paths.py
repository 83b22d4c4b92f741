"""One form of each path in a run.

Snakemake compares paths as texts. `data/x.fa` and `/project/data/x.fa` would be different inputs,
and a run with the other form would be redone.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import yaml

from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.settings.extraction import Model
from evo2_embed.settings.settings import Settings

_PATH = re.compile(r"^[ -]*(?:fasta|regions|variants|checkpoint): (.+)$", re.MULTILINE)


def one_form(
    settings: Settings, genomes: list[Genome], earlier: str
) -> tuple[Settings, list[Genome]]:
    """Settings and genomes with one form of the paths of checkpoints and of files of the sheet.

    A path keeps the form that it had in the earlier run of this folder. Otherwise it is relative if
    it is in the working directory, so that the folder can move, and stays as written if not.

    Parameters
    ----------
    settings, genomes
        Of the new run.
    earlier : str
        Frozen settings of the earlier run; may be missing.
    """
    form = _form(earlier)

    def of_model(model: Model) -> Model:
        return replace(model, checkpoint=model.checkpoint and form(model.checkpoint))

    extractions = {
        name: replace(extraction, model=of_model(extraction.model))
        for name, extraction in settings.extractions.items()
    }
    return replace(settings, model=of_model(settings.model), extractions=extractions), [
        replace(
            genome,
            fasta=form(genome.fasta),
            regions=genome.regions and form(genome.regions),
            variants=genome.variants and form(genome.variants),
        )
        for genome in genomes
    ]


def _form(earlier: str) -> Callable[[str], str]:
    known = set(_paths(earlier))
    real: dict[str, str] = {}

    def form(path: str) -> str:
        if path in known:
            return path
        if known and not real:
            real.update({os.path.realpath(other): other for other in sorted(known)})
        known_as = real.get(os.path.realpath(path)) if real else None
        if known_as or not os.path.isabs(path):
            return known_as or path
        folder = os.getcwd()
        return os.path.relpath(path, folder) if Path(path).is_relative_to(folder) else path

    return form


def _paths(earlier: str) -> Iterator[str]:
    """Paths in a frozen run. Not a YAML parser: it takes seconds for thousands of genomes."""
    try:
        text = Path(earlier).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return
    for value in _PATH.findall(text):
        path = yaml.safe_load(value) if value[0] in "'\"" else value
        if path != "null":
            yield path
