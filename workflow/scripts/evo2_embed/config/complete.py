"""Fill in the values of a configuration that follow from others; nothing is checked here."""

from dataclasses import replace

from evo2_embed.io.errors import InputError
from evo2_embed.io.remote import copy_path
from evo2_embed.model.presets import expand_layers
from evo2_embed.model.registry import model_names
from evo2_embed.settings.analyses import Probe
from evo2_embed.settings.exports import Finetune
from evo2_embed.settings.extraction import Extraction, Fusion, Model
from evo2_embed.settings.settings import Settings
from evo2_embed.settings.windows import VariantSettings

BLOCK_WINDOWS = 10  # windows per block of the training set, if the configuration has no value


def complete(settings: Settings) -> Settings:
    """Settings without a null that stands for another value, and with presets spelled out.

    A preset that cannot be spelled out stays as it is; `faults.extraction_faults` says why.
    """
    windows, packing = settings.windows, settings.packing
    return replace(
        settings,
        model=with_copy(settings.model),
        windows=replace(windows, stride=windows.stride or windows.size),
        variants=_complete_variants(settings.variants),
        packing=replace(packing, piece=packing.piece or packing.max_tokens),
        finetune=_complete_finetune(settings.finetune, windows.size),
        probe=settings.probe and _complete_probe(settings.probe, windows.size),
        extractions={
            name: complete_extraction(extraction, settings.model)
            for name, extraction in settings.extractions.items()
        },
    )


def with_copy(model: Model) -> Model:
    """A model with a local path of its checkpoint, which may be at an address."""
    return replace(model, checkpoint=model.checkpoint and copy_path(model.checkpoint))


def complete_extraction(extraction: Extraction, model: Model) -> Extraction:
    """An extraction with its model and the names of its layers; fusions and heads are sorted."""
    model = with_copy(extraction.model or model)
    layers = _spelled_out(extraction.layers, model.name)
    fusions = {
        name: _complete_fusion(fusion, layers, model.name)
        for name, fusion in sorted(extraction.fusion.items())
    }
    heads = dict(sorted(extraction.heads.items()))
    return replace(extraction, model=model, layers=layers, fusion=fusions, heads=heads)


def _complete_fusion(fusion: Fusion, layers: list[str], model: str) -> Fusion:
    asked = layers if fusion.layers is None else fusion.layers
    return replace(fusion, layers=_spelled_out(asked, model))


def _spelled_out(layers: str | dict | list, model: str) -> str | dict | list[str]:
    if model not in model_names():
        return layers
    try:
        return expand_layers(layers, model)
    except InputError:
        return layers


def _complete_probe(probe: Probe, size: int) -> Probe:
    return replace(probe, gap=size if probe.gap is None else probe.gap)


def _complete_variants(variants: VariantSettings) -> VariantSettings:
    half = variants.size - variants.size // 2
    return replace(variants, downstream=variants.downstream or half)


def _complete_finetune(finetune: Finetune, size: int) -> Finetune:
    return replace(
        finetune,
        block=BLOCK_WINDOWS * size if finetune.block is None else finetune.block,
        gap=size if finetune.gap is None else finetune.gap,
    )
