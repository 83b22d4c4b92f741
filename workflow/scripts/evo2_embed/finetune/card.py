"""README.md of a training set: a dataset card as Hugging Face `datasets` reads it."""

from pathlib import Path

_TEMPLATE = Path(__file__).with_name("card.md")
_SHOWN_GENOMES = 20


def card_text(summary: dict) -> str:
    """The card of a training set, from its summary."""
    split, chunks = summary["settings"]["split"], summary["chunks"]
    values = {
        "genomes": _genomes(summary),
        "windows": _windows(summary),
        "units": _units(split),
        "blocks_train": f"{summary['blocks']['train']:,}",
        "blocks_validation": f"{summary['blocks']['validation']:,}",
        "chunks_train": f"{chunks['train']:,}",
        "chunks_validation": f"{chunks['validation']:,}",
        "left_out": f"{chunks['left_out']:,}",
        "gap": f"{split['gap']:,}",
        "forms": "\n".join(_form(name, form) for name, form in summary["forms"].items()),
        "max_tokens": f"{summary['packing']['max_tokens']:,}",
        "width": f"{summary['width']:,}",
        "pad_token": summary["settings"]["pad_token"],
        "pad": "1" if summary["settings"]["pad_token"] == "pad" else "0",
        "bos": "The first token of every window is a BOS (id 0)." * summary["packing"]["bos"],
    }
    text = _TEMPLATE.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"<{name}>", value)
    return text


def _genomes(summary: dict) -> str:
    names = [f"`{entry['genome']}`" for entry in summary["genomes"]]
    more = f" and {len(names) - _SHOWN_GENOMES:,} more" if len(names) > _SHOWN_GENOMES else ""
    return ", ".join(names[:_SHOWN_GENOMES]) + more


def _windows(summary: dict) -> str:
    windows = summary["windows"]
    strands = "both strands" if windows["strands"] == "both" else f"strand `{windows['strands']}`"
    return f"{windows['size']:,} bases, every {windows['stride']:,}, {strands}"


def _units(split: dict) -> str:
    if split["split"] == "contig":
        return "contig"
    return f"block of {split['block']:,} bases of a contig"


def _form(name: str, form: dict) -> str:
    rows = form["rows"]
    return (
        f"| `{name}` | {rows['train']:,} | {rows['validation']:,} | {form['width']:,} "
        f"| {form['padding_share']:.1%} | {form['room_share']:.1%} |"
    )
