"""Long contexts in the configuration: what cannot be, and what one should know before a run."""

from evo2_embed.model import models
from evo2_embed.settings.sections import Settings


def longest_stretch(settings: Settings) -> int:
    """Tokens of the longest stretch that may be, its BOS included; `settings` are complete."""
    windows = settings.windows
    span = windows.context.span
    return (span if windows.has_spans else windows.size) + settings.packing.bos


def context_faults(settings: Settings) -> list[str]:
    """What is wrong with spans and pieces, whatever the model, a line each."""
    windows, packing = settings.windows, settings.packing
    span, least = windows.context.span, windows.context.min
    faults = []
    if not windows.has_spans and least:
        faults.append(
            f"windows.context.min: {least} bases before a window need a windows.context.span "
            f"(allowed with span: size: 0)"
        )
    if windows.has_spans and span < least + windows.size:
        faults.append(
            f"windows.context.span: {span} is less than a window of {windows.size} bases and "
            f"the {least} of windows.context.min before it (allowed: at least "
            f"{least + windows.size}, or size)"
        )
    if packing.piece > packing.max_tokens:
        faults.append(
            f"packing.piece: {packing.piece} is more than packing.max_tokens "
            f"(allowed: 1 to {packing.max_tokens})"
        )
    return faults + _whole_faults(settings)


def _whole_faults(settings: Settings) -> list[str]:
    """What is wrong where something needs every window alone, whole in a pass."""
    windows, packing = settings.windows, settings.packing
    span, why = windows.context.span, _needs_whole(settings)
    if why is None:
        return []
    if windows.has_spans:
        return [f"windows.context.span: {span} does not go with {why} (allowed: size)"]
    tokens = windows.size + packing.bos
    key = "piece" if packing.piece < packing.max_tokens else "max_tokens"
    most = min(packing.piece, packing.max_tokens)
    if tokens <= most:
        return []
    return [
        f"packing.{key}: {most} is too small for one window of "
        f"{tokens_of_window(settings)}, which does not run in pieces with {why} "
        f"(allowed: at least {tokens})"
    ]


def _needs_whole(settings: Settings) -> str | None:
    """The setting for which windows are whole; None where there is none."""
    if settings.packing.strategy == "padded":
        return "packing.strategy: padded"
    for name, extraction in settings.extractions.items():
        if extraction.engine == "stock":
            return f"extractions.{name}.engine: stock"
    return "export: finetune" if settings.export == "finetune" else None


def model_fault(where: str, name: str, settings: Settings) -> str | None:
    """Why a model is not for windows and spans of these sizes, in a line; None if it is.

    Parameters
    ----------
    where : str
        The extraction, in the configuration.
    name : str
        Its model.
    settings : Settings
    """
    trained, context = models.context_length(name), settings.windows.context
    if longest_stretch(settings) <= trained:
        return None
    if not settings.windows.has_spans:
        return (
            f"{where}: windows.size: {tokens_of_window(settings)} are more than {name} reads at "
            f"once (allowed: at most {trained} tokens)"
        )
    if context.beyond_training:
        return None
    return (
        f"{where}: windows.context.span: {_tokens(settings, context.span)} are more than "
        f"{name} was trained for (allowed: at most {trained} tokens, or "
        "windows.context.beyond_training: true)"
    )


def beyond_training(settings: Settings) -> list[str]:
    """A warning for every extraction whose spans exceed what its model was trained for."""
    tokens = longest_stretch(settings)
    lengths = {
        name: (extraction.model.name, models.context_length(extraction.model.name))
        for name, extraction in settings.extractions.items()
    }
    return [
        f"extractions.{name}: contexts of up to {tokens:,} tokens, and {model} was trained for "
        f"{trained:,}: what its embeddings are worth there is not known"
        for name, (model, trained) in lengths.items()
        if tokens > trained
    ]


def tokens_of_window(settings: Settings) -> str:
    """What a window has to read, in words."""
    return _tokens(settings, settings.windows.size)


def _tokens(settings: Settings, bases: int) -> str:
    return f"{bases} bases{' and a BOS' if settings.packing.bos else ''}"
