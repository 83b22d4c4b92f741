"""The keys of exports."""

from dataclasses import dataclass
from typing import Literal

from evo2_embed.settings.section import Section, key

# What `export` can name; the first three are files of each dataset.
FORMATS = ("anndata", "atlas", "lance")
EXPORTS = (*FORMATS, "bigwig", "finetune")


@dataclass(frozen=True, kw_only=True)
class Atlas(Section):
    """The section `atlas`."""

    rows: int = key(
        "Maximum number of rows of a dataset to draw, evenly spaced.",
        20_000,
        minimum=10,
        maximum=200_000,
    )


@dataclass(frozen=True, kw_only=True)
class Finetune(Section):
    """The section `finetune`."""

    pad_token: Literal["pad", "eos"] = key(
        "Padding token of the padded form: pad (id 1) or eos (id 0).", "pad"
    )
    split: Literal["contig", "block"] = key(
        "Unit that is in training or in validation as a whole: contig, or block (of a contig).",
        "block",
    )
    block: int | None = key(
        "Bases in a block. null: ten times windows.size.", None, minimum=1, maximum=1_000_000_000
    )
    gap: int | None = key(
        "Windows within this distance of a validation block are not trained on (bases). null: "
        "windows.size.",
        None,
        minimum=0,
        maximum=1_000_000_000,
    )
    validation_share: float = key(
        "Share of the contigs, or blocks, that are for validation.",
        0.1,
        minimum=0.001,
        maximum=0.9,
    )
