"""Long contexts in the configuration: faults, and warnings before a run."""

from evo2_embed.model import registry
from evo2_embed.settings.settings import Settings


def longest_stretch(settings: Settings) -> int:
    """Tokens of the longest possible stretch, BOS included; `settings` are complete."""
    windows = settings.windows
    span = windows.context.span
    return (span if windows.has_spans else windows.size) + settings.packing.bos


def context_faults(settings: Settings) -> list[str]:
    """Faults of spans and segments for any model, one line each."""
    windows, packing = settings.windows, settings.packing
    least, faults = windows.context.min, []
    if not windows.has_spans and least:
        faults.append(
            f"windows.context.min: {least} bases of context need a windows.context.span "
            f"(allowed with span: size: 0)"
        )
    if packing.piece > packing.max_tokens:
        faults.append(
            f"packing.piece: {packing.piece} is more than packing.max_tokens "
            f"(allowed: 1 to {packing.max_tokens})"
        )
    return faults + _whole_faults(settings)


def _whole_faults(settings: Settings) -> list[str]:
    """Faults of settings that need each window alone and complete in one pack."""
    windows, packing = settings.windows, settings.packing
    span, why = windows.context.span, needs_whole(settings)
    if why is None:
        return []
    if windows.has_spans:
        return [f"windows.context.span: {span} does not work with {why} (allowed: size)"]
    tokens = windows.size + packing.bos
    key = "piece" if packing.piece < packing.max_tokens else "max_tokens"
    most = min(packing.piece, packing.max_tokens)
    if tokens <= most:
        return []
    return [
        f"packing.{key}: {most} is too small for one window of "
        f"{tokens_of_window(settings)}, which cannot run in segments with {why} "
        f"(allowed: at least {tokens})"
    ]


def needs_whole(settings: Settings) -> str | None:
    """The setting that needs complete windows; None if there is none."""
    if settings.packing.strategy == "padded":
        return "packing.strategy: padded"
    for name, extraction in settings.extractions.items():
        if extraction.engine == "stock":
            return f"extractions.{name}.engine: stock"
    return "export: finetune" if settings.exports.finetune else None


def model_fault(where: str, name: str, settings: Settings) -> str | None:
    """Why a model does not support windows and spans of these sizes, in one line; None if it does.

    Parameters
    ----------
    where : str
        The extraction's key in the configuration.
    name : str
        Its model.
    settings : Settings
    """
    trained, context = registry.context_length(name), settings.windows.context
    if longest_stretch(settings) <= trained:
        return None
    if not settings.windows.has_spans:
        return (
            f"{where}: windows.size: {tokens_of_window(settings)} are more than the training "
            f"context of {name} (allowed: at most {trained} tokens)"
        )
    if context.beyond_training:
        return None
    return (
        f"{where}: windows.context.span: {_tokens(settings, context.span)} are more than "
        f"the training context of {name} (allowed: at most {trained} tokens, or "
        "windows.context.beyond_training: true)"
    )


def beyond_training(settings: Settings) -> list[str]:
    """One warning per extraction whose span exceeds the training context of its model."""
    tokens = longest_stretch(settings)
    lengths = {
        name: (extraction.model.name, registry.context_length(extraction.model.name))
        for name, extraction in settings.extractions.items()
    }
    return [
        f"extractions.{name}: contexts of up to {tokens:,} tokens exceed the training context of "
        f"{model} ({trained:,} tokens): the quality of its embeddings is unknown"
        for name, (model, trained) in lengths.items()
        if tokens > trained
    ]


def tokens_of_window(settings: Settings) -> str:
    """Size of a window with its BOS, in words."""
    return _tokens(settings, settings.windows.size)


def _tokens(settings: Settings, bases: int) -> str:
    return f"{bases} bases{' and a BOS' if settings.packing.bos else ''}"
