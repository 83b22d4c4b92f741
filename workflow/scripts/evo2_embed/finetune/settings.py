"""The section `finetune` of the configuration: what its nulls mean, and what cannot be."""

BLOCK_WINDOWS = 10  # windows in a block where the configuration does not say


def complete_finetune(settings: dict) -> None:
    """Put numbers in the place of the nulls of a configuration's section `finetune`."""
    section, size = settings["finetune"], settings["windows"]["size"]
    if section["block"] is None:
        section["block"] = BLOCK_WINDOWS * size
    if section["gap"] is None:
        section["gap"] = size


def finetune_faults(settings: dict) -> list[str]:
    """What is wrong across the keys of the section, a line each; `settings` are complete."""
    section, size = settings["finetune"], settings["windows"]["size"]
    if settings["export"] != "finetune" or section["split"] != "block":
        return []
    if section["block"] >= size:
        return []
    return [
        f"finetune.block: {section['block']} is less than windows.size ({size}), so windows would "
        f"reach over whole blocks (allowed: at least {size}, or split: contig)"
    ]
