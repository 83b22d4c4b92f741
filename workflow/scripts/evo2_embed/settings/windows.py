"""The keys of windows, regions and variants."""

from dataclasses import dataclass
from typing import Literal

from evo2_embed.settings.section import Section, key

_WORDS = {
    "type": ["array", "null"],
    "minItems": 1,
    "maxItems": 100,
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1, "maxLength": 100},
}


@dataclass(frozen=True, kw_only=True)
class Context(Section):
    """The section `windows.context`."""

    span: Literal["size"] | int = key(
        "Maximum bases from the start of the context to the end of the window. size: no context, "
        "each window runs alone.",
        "size",
        minimum=1,
        maximum=1_073_741_824,
    )
    min: int = key(
        "Minimum upstream context, in bases (less only at the start of a contig). Needs a span.",
        0,
        minimum=0,
        maximum=1_073_741_824,
    )
    beyond_training: bool = key("Allow a span longer than the model's training context.", False)


@dataclass(frozen=True, kw_only=True)
class Ambiguous(Section):
    """The section `windows.ambiguous`."""

    policy: Literal["keep", "skip", "error"] = key(
        "keep: embed every window. skip: leave out windows above max_share. error: stop at the "
        "first ambiguous letter.",
        "keep",
    )
    max_share: float = key(
        "Maximum share of ambiguous letters in a window that policy skip keeps.",
        0.1,
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True, kw_only=True)
class Windows(Section):
    """The section `windows`."""

    size: int = key("Bases in a window.", 8192, minimum=1, maximum=1_048_576)
    stride: int | None = key(
        "Bases from the start of one window to the start of the next. null: the same as size (no "
        "overlap).",
        None,
        minimum=1,
        maximum=1_000_000_000,
    )
    context: Context = key("Upstream sequence that the model sees with a window.", factory=Context)
    last: Literal["keep", "shift"] = key(
        "Last window of a contig. keep: shorter than size. shift: moved back to full size, so it "
        "overlaps the window before it.",
        "keep",
    )
    min_length: int = key(
        "Contigs and windows shorter than this are skipped and counted (bases).",
        1,
        minimum=1,
        maximum=1_048_576,
    )
    strands: Literal["+", "-", "both"] = key(
        "Strands to embed. A - row embeds the reverse complement.", "+"
    )
    lower_case: Literal["upper", "keep"] = key(
        "Soft-masked bases. upper: converted to upper case. keep: left in lower case, for which "
        "the model has other tokens.",
        "upper",
    )
    ambiguous: Ambiguous = key(
        "Letters other than A, C, G and T (IUPAC codes such as N).", factory=Ambiguous
    )

    @property
    def has_spans(self) -> bool:
        """Whether windows have context; if not, each is a stretch of its own."""
        return self.context.span != "size"

    @property
    def n_strands(self) -> int:
        """Number of strands that are embedded."""
        return 2 if self.strands == "both" else 1


@dataclass(frozen=True, kw_only=True)
class RegionSettings(Section):
    """The section `regions`: how the files in the column `regions` of the sheet are read."""

    features: list[str] | None = key(
        "For GFF3 and GTF: the types of features (column 3) that are regions. With splice: the "
        "parts that are joined. null: gene, or exon with splice.",
        None,
        schema=_WORDS,
    )
    name: list[str] | None = key(
        "For GFF3 and GTF: the attributes that give a region its name; the first that a feature "
        "has. null: the usual ones of the format.",
        None,
        schema=_WORDS,
    )
    rows: Literal["region", "window"] = key(
        "region: one row per region, or its bins, however long the region is. window: regions are "
        "cut into windows.",
        "region",
    )
    flank: int = key(
        "Bases upstream of a region that the model reads and that are not pooled. Needs rows: "
        "region.",
        0,
        minimum=0,
        maximum=1_073_741_824,
    )
    splice: bool = key(
        "Join the exons of a transcript (GFF3, GTF) or the blocks of a line (BED with 12 columns).",
        False,
    )
    off_contig: Literal["error", "clip"] = key(
        "Regions that reach past an end of their contig. error: stop. clip: leave out the bases "
        "past it.",
        "error",
    )


@dataclass(frozen=True, kw_only=True)
class VariantSettings(Section):
    """The section `variants`: the windows of the files in the column `variants` of the sheet, or of
    a scan of the regions."""

    size: int = key(
        "Bases in the window of an allele; the reference's and the alternate's have the same.",
        8192,
        minimum=2,
        maximum=1_048_576,
    )
    downstream: int | None = key(
        "Bases of a window from the variant's first base on, in the direction of the strand. null: "
        "half of size.",
        None,
        minimum=1,
        maximum=1_048_576,
    )
    share: Literal["window", "contig", "none"] = key(
        "What an alternate does not run again. window: the bases of its window before the variant. "
        "contig: all of its upstream context (needs windows.context). none: nothing, it runs "
        "whole.",
        "window",
    )
    strands: Literal["keep", "mean"] = key(
        "Of the dataset of variants. keep: one row per variant and strand. mean: one row per "
        "variant, with the mean of both strands; its strand is +.",
        "keep",
    )
    on_mismatch: Literal["error", "skip"] = key(
        "Variants whose reference allele is not in the FASTA file. error: stop. skip: leave them "
        "out and count them.",
        "error",
    )
    scan: Literal["every", None] = key(
        "Variants of genomes with regions instead of a file of variants. every: each base of the "
        "regions, changed to each of the three others. null: none, the regions are embedded.",
        None,
    )
