"""The keys of analyses of datasets, and of the report."""

from dataclasses import dataclass
from typing import Literal

from evo2_embed.settings.section import Section, key


@dataclass(frozen=True, kw_only=True)
class Compare(Section):
    """The section `compare`."""

    rows: int = key(
        "Rows of each layer to compare, evenly spaced. 0: no comparison.",
        2000,
        minimum=0,
        maximum=5000,
    )
    control: int = key(
        "Number of windows embedded again with shuffled bases, as a control. 0: none.",
        32,
        minimum=0,
        maximum=10_000,
    )


@dataclass(frozen=True, kw_only=True)
class BurnIn(Section):
    """The section `burn_in`."""

    length: Literal[0] | int = key(
        "Bases of the longest context, on one contig; fewer if the contig or the model's training "
        "context is shorter. 0: no measurement.",
        16_384,
        minimum=1024,
        maximum=1_048_576,
    )
    starts: int = key(
        "Number of stretches, a quarter as long, that start without context.",
        8,
        minimum=1,
        maximum=64,
    )


@dataclass(frozen=True, kw_only=True)
class Probe(Section):
    """The section `probe`."""

    labels: str = key(
        "File with labelled intervals, plain or gzip: BED, GFF3, or TSV with the columns genome, "
        "contig, start, end and label or number.",
        minLength=1,
    )
    feature: str | None = key(
        "For GFF3: the type of feature (column 3), such as CDS.", None, minLength=1
    )
    min_overlap: float = key(
        "Minimum share of a row's bases that the intervals of its label cover. A row is background "
        "(BED, GFF3) if all intervals together cover at most the rest.",
        0.5,
        minimum=0.5,
        maximum=1,
    )
    stranded: bool = key("An interval labels only rows of its own strand.", False)
    folds: int = key("Number of folds for cross-validation.", 5, minimum=2, maximum=20)
    group: Literal["auto", "genome", "contig", "block"] = key(
        "Unit kept within one fold, to prevent leakage. auto: contigs if there are enough, else "
        "blocks of contigs.",
        "auto",
    )
    block: int | None = key(
        "Bases in a block. null: about twenty blocks per fold.",
        None,
        minimum=1,
        maximum=1_000_000_000,
    )
    gap: int | None = key(
        "Rows within this distance of a tested block are not trained on (bases). null: "
        "windows.size.",
        None,
        minimum=0,
        maximum=1_000_000_000,
    )
    max_rows: int = key(
        "Maximum number of labelled rows to use, evenly spaced.",
        10_000,
        minimum=20,
        maximum=1_000_000,
    )


@dataclass(frozen=True, kw_only=True)
class Report(Section):
    """The section `report`."""

    points: int = key(
        "Maximum number of rows of a dataset to draw, evenly spaced.",
        2000,
        minimum=2,
        maximum=50_000,
    )
    umap: bool = key(
        "Draw a UMAP beside the principal components (takes half a minute more).", True
    )
