"""Variants in the configuration: what the section `variants` and other settings rule out."""

from evo2_embed.config.context import needs_whole
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.model import registry
from evo2_embed.settings.schema import plain
from evo2_embed.settings.settings import Settings


def variant_faults(settings: Settings, genomes: list[Genome]) -> list[str]:
    """Faults of the settings of variants, one line each; none if no genome has variants.

    Parameters
    ----------
    settings : Settings
        Complete.
    genomes : list of Genome
        Those of the sheet.
    """
    section, size = settings.variants, settings.variants.size
    faults = _scan_faults(settings, genomes)
    if not any(genome.has_variants for genome in genomes):
        return faults
    if section.downstream > size:
        faults.append(
            f"variants.downstream: {section.downstream} is more than variants.size "
            f"(allowed: 1 to {size})"
        )
    if settings.windows.min_length > size:
        faults.append(
            f"windows.min_length: {settings.windows.min_length} is more than variants.size "
            f"({size}), so every window would be skipped"
        )
    faults += _share_faults(settings) + _whole_faults(settings) + _strand_faults(settings)
    if settings.probe:
        faults.append("probe: does not work with variants (allowed: null)")
    for name, extraction in settings.extractions.items():
        where = f"extractions.{name}"
        pooling = extraction.pooling if isinstance(extraction.pooling, dict) else {}
        faults += [
            f"{where}: pooling.{kind}: {bases} is more than variants.size (allowed: 1 to {size})"
            for kind, bases in pooling.items()
            if bases > size
        ]
        if extraction.skip_first >= size and not extraction.bin and section.share != "contig":
            faults.append(
                f"{where}: skip_first: {extraction.skip_first} leaves nothing to pool of a window "
                f"of variants.size ({size}) bases (allowed: 0 to {size - 1})"
            )
        if extraction.levels:
            faults.append(
                f"{where}.levels: does not work with variants: they would be means over windows of "
                "both alleles (allowed: [])"
            )
        keys = {"score_strands": extraction.score_strands}
        keys |= {
            f"fusion.{key}.strands": fusion.strands for key, fusion in extraction.fusion.items()
        }
        faults += [
            f"{where}.{key}: {value} does not work with variants, whose windows on + and - are not "
            "of the same bases (allowed: keep)"
            for key, value in keys.items()
            if value != "keep"
        ]
        faults += _trained_faults(where, extraction.model.name, settings)
    return faults


def _scan_faults(settings: Settings, genomes: list[Genome]) -> list[str]:
    scan = settings.variants.scan
    if scan is None:
        return []
    if not any(genome.scan for genome in genomes):
        return [
            f"variants.scan: {scan} needs a file in the column regions of the sheet (allowed "
            "without one: null)"
        ]
    regions = settings.regions
    keys = {"flank": (regions.flank, 0), "splice": (regions.splice, False)}
    return [
        f"variants.scan: {scan} does not work with regions.{key}, which is for regions as rows "
        f"(allowed: regions.{key}: {plain(none)})"
        for key, (value, none) in keys.items()
        if value
    ]


def _share_faults(settings: Settings) -> list[str]:
    section, windows = settings.variants, settings.windows
    if section.share != "contig":
        return []
    if not windows.has_spans:
        return [
            "variants.share: contig needs a windows.context.span (allowed with span: size: window, "
            "none)"
        ]
    least = windows.context.min + section.size
    if windows.context.span >= least:
        return []
    return [
        f"windows.context.span: {windows.context.span} is less than a window of variants.size "
        f"({section.size}) and windows.context.min ({windows.context.min}) "
        f"(allowed: at least {least})"
    ]


def _strand_faults(settings: Settings) -> list[str]:
    """Faults of settings by which a variant may have windows on one strand only."""
    windows = settings.windows
    if settings.variants.strands == "keep":
        return []
    if windows.strands != "both":
        return [
            "variants.strands: mean needs both strands of every variant (allowed: keep, or "
            "windows.strands: both)"
        ]
    if windows.ambiguous.policy == "skip":
        return [
            "variants.strands: mean does not work with windows.ambiguous.policy: skip, which may "
            "leave out one strand of a variant (allowed: keep, or windows.ambiguous.policy: keep, "
            "error)"
        ]
    return []


def _whole_faults(settings: Settings) -> list[str]:
    """Faults of settings that run each window alone and in one pack."""
    section, packing, why = settings.variants, settings.packing, needs_whole(settings)
    if why is None:
        return []
    if why == "export: finetune":
        return ["export: finetune does not work with variants (leave out finetune)"]
    if section.share != "none":
        return [f"variants.share: {section.share} does not work with {why} (allowed: none)"]
    tokens, most = section.size + packing.bos, min(packing.piece, packing.max_tokens)
    if tokens <= most:
        return []
    return [
        f"variants.size: windows of {tokens} tokens cannot run in segments with {why} (allowed: at "
        f"most {most} tokens; set a larger packing.max_tokens)"
    ]


def _trained_faults(where: str, model: str, settings: Settings) -> list[str]:
    windows, section = settings.windows, settings.variants
    if model not in registry.model_names() or windows.context.beyond_training:
        return []
    trained, tokens = registry.context_length(model), section.size + settings.packing.bos
    if section.share == "contig" or tokens <= trained:  # spans have a check of their own
        return []
    return [
        f"variants.size: {section.size} is more than the training context of {model}, {where} "
        f"(allowed: at most {trained - settings.packing.bos}, or windows.context.beyond_training: "
        "true)"
    ]
