"""Rows of regions in the configuration: what other settings, or a region's length, rule out."""

from evo2_embed.config.context import needs_whole
from evo2_embed.genomes.regions import read_regions
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.model import registry
from evo2_embed.settings.settings import Settings


def region_row_faults(settings: Settings, genomes: list[Genome]) -> list[str]:
    """Faults of rows of regions, one line each; nothing is read if no genome has such rows.

    Parameters
    ----------
    settings : Settings
        Complete.
    genomes : list of Genome
        Those of the sheet; their files of regions have no faults of their own.
    """
    section = settings.regions
    files = [genome.regions for genome in genomes if genome.regions and not genome.scan]
    if not files or section.rows == "window":
        return []
    faults = []
    if section.splice and settings.probe:
        faults.append(
            "probe: spliced regions cannot be labelled by intervals (allowed: regions.splice: "
            "false, or no section probe)"
        )
    if section.flank and settings.exports.finetune:
        faults.append(
            f"regions.flank: {section.flank} does not work with export: finetune, whose rows have "
            "no context (allowed: 0)"
        )
    return faults + [
        line for file in dict.fromkeys(files) for line in _length_faults(file, settings)
    ]


def _length_faults(path: str, settings: Settings) -> list[str]:
    """Faults of the longest regions of a file."""
    tokens, bases, line = _longest(path, settings, "length")
    where = f"{path}: line {line}: a region of {bases:,} bases"
    beside = settings.regions.flank + settings.packing.bos
    where += f" and {beside} tokens before it" if beside else ""
    faults, most = [], min(settings.packing.piece, settings.packing.max_tokens)
    why = needs_whole(settings)
    if why and tokens > most:
        faults.append(
            f"{where} cannot run in segments with {why} (allowed: at most {most:,} tokens; set a "
            "larger packing.max_tokens)"
        )
    for name, extraction in settings.extractions.items():
        model = extraction.model.name
        trained = registry.context_length(model) if model in registry.model_names() else tokens
        if tokens > trained and not settings.windows.context.beyond_training:
            faults.append(
                f"{where} is more than the training context of {model}, extractions.{name} "
                f"(allowed: at most {trained:,} tokens, or windows.context.beyond_training: true)"
            )
    finetune = settings.finetune
    if settings.exports.finetune and finetune.split == "block":
        _, span, line = _longest(path, settings, "span")
        if span > finetune.block:
            faults.append(
                f"{path}: line {line}: a region reaches over {span:,} bases, more than "
                f"finetune.block: {finetune.block} (allowed: a larger block, or split: contig)"
            )
    return faults


def _longest(path: str, settings: Settings, what: str) -> tuple[int, int, int]:
    """Tokens, bases and line of the region with most bases (`length`) or from end to end
    (`span`)."""
    found = []
    for mine in read_regions(path, settings.regions).values():
        bases = mine.length if what == "length" else mine.end - mine.start
        row = int(bases.argmax())
        found.append((int(bases[row]), int(mine.line[row])))
    bases, line = max(found)
    return bases + settings.regions.flank + settings.packing.bos, bases, line
