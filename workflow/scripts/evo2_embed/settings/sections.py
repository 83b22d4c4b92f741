"""The sections of `config.yaml`, in its order: the one place that declares a key.

After a change, `make schema` writes what follows from it: the JSON schema and the documentation.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Literal

from evo2_embed.settings.section import Section, key

# What the log-likelihoods are called, beside the names of layers.
SCORES = "scores"


def _mapping_of(name: str, description: str, maximum: int) -> dict:
    """Schema of a mapping with one key, which is a whole number: `{bin: 128}`."""
    number = {"description": description, "type": "integer", "minimum": 1, "maximum": maximum}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name],
        "properties": {name: number},
    }


_EVERY = _mapping_of("every", "Every k-th block, counted back from the last one.", 512)


def _layers(least: int) -> dict:
    """Schema of layers: a preset, or a list with this many entries or more."""
    name = {"type": "string", "pattern": r"^[A-Za-z_][A-Za-z0-9_.]{0,99}(?!\n)$"}
    names = {
        "type": "array",
        "minItems": least,
        "maxItems": 512,
        "uniqueItems": True,
        "items": {"anyOf": [_EVERY, name]},
    }
    return {"anyOf": [{"enum": ["all", "recommended"]}, _EVERY, names]}


_POOLING = {
    "anyOf": [
        {"enum": ["mean", "max", "first", "last"]},
        _mapping_of("center", "Bases in the middle of a window.", 1_048_576),
        _mapping_of("bin", "Bases in a bin.", 1_048_576),
    ]
}
_METHOD = {
    "anyOf": [
        {"enum": ["concat", "mean", "weighted"]},
        _mapping_of("pca", "Number of principal components to keep.", 4096),
    ]
}
_WORDS = {
    "type": ["array", "null"],
    "minItems": 1,
    "maxItems": 100,
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1, "maxLength": 100},
}
# What `export` can name; the first three are files of each dataset.
FORMATS = ("anndata", "atlas", "lance")
EXPORTS = (*FORMATS, "bigwig", "finetune")
_EXPORT = {
    "anyOf": [
        {"type": "null"},
        {"enum": list(EXPORTS)},
        {"type": "array", "uniqueItems": True, "items": {"enum": list(EXPORTS)}},
    ]
}
_TRACKS = {
    "anyOf": [
        {"type": "null"},
        {
            "type": "array",
            "maxItems": 1000,
            "uniqueItems": True,
            "items": {
                "anyOf": [
                    {"type": "string", "minLength": 1, "maxLength": 1000},
                    {"type": "integer", "minimum": 0, "maximum": 1_000_000_000},
                ]
            },
        },
    ]
}
_WEIGHT = {"type": "number", "minimum": 0, "maximum": 1_000_000_000}
_WEIGHTS = {
    "anyOf": [
        {"type": "null"},
        {"const": "probe"},
        {"type": "array", "minItems": 1, "maxItems": 512, "items": _WEIGHT},
    ]
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


@dataclass(frozen=True, kw_only=True)
class Packing(Section):
    """The section `packing`."""

    strategy: Literal["packed", "padded"] = key(
        "packed: windows share a forward pass without padding. padded: rows are filled up to the "
        "longest window, for comparison.",
        "packed",
    )
    max_tokens: int = key(
        "Maximum tokens per forward pass, with BOS and padding. Limits GPU memory.",
        16_384,
        minimum=1,
        maximum=1_073_741_824,
    )
    piece: int | None = key(
        "Maximum tokens of one stretch per forward pass. A longer stretch runs in several segments "
        "that pass on their state. null: the same as max_tokens.",
        None,
        minimum=1,
        maximum=1_073_741_824,
    )
    bos: bool = key(
        "Put a BOS token (EOD, id 0) before each stretch (each window, if context.span is size). "
        "It is not pooled.",
        False,
    )
    pad: Literal["PAD", "EOS"] = key(
        "Padding token of strategy padded: PAD (id 1) or EOS (id 0).", "PAD"
    )


@dataclass(frozen=True, kw_only=True)
class Sharding(Section):
    """The section `sharding`."""

    shard_tokens: int = key(
        "Tokens per embedding job, estimated from file sizes.",
        1_000_000,
        minimum=1,
        maximum=1_000_000_000_000,
    )
    shards: Literal["auto"] | int = key(
        "auto, or a fixed number of shards per genome.", "auto", minimum=1, maximum=99_999
    )


@dataclass(frozen=True, kw_only=True)
class Model(Section):
    """The section `model`."""

    name: str = key("evo2_tiny (bundled), or a model of the package evo2.", "evo2_tiny")
    checkpoint: str | None = key(
        "File with the weights; a path, or an address (s3://, https://). null: download them once.",
        None,
        minLength=1,
    )


@dataclass(frozen=True, kw_only=True)
class Runtime(Section):
    """The section `runtime`."""

    device: Literal["auto", "cpu", "cuda"] = key("auto uses a GPU if there is one.", "auto")
    cpu_threads: int = key(
        "Threads of the model on a CPU. The last bit of a result can depend on it.",
        1,
        minimum=1,
        maximum=256,
    )
    kv_device: Literal["device", "host"] = key(
        "Where the KV cache of a stretch's earlier segments is kept. host saves GPU memory and is "
        "slower.",
        "device",
    )
    kernels: Literal["auto", "torch", "triton"] = key(
        "What computes filters, gates, norms and rotary positions: PyTorch's kernels, or this "
        "project's Triton kernels, which are for GPUs. auto: Triton's on a GPU where they can run.",
        "auto",
    )
    checkpoint_every: int = key(
        "Seconds between two saves of an embedding job. A killed job resumes from its last save. "
        "0: save after every pack.",
        60,
        minimum=0,
        maximum=86_400,
    )
    hang_after: int = key(
        "Seconds without progress after which an embedding job is ended. 0: never.",
        3600,
        minimum=0,
        maximum=604_800,
    )
    tokens_per_second: float | None = key(
        "Speed of one embedding job, to estimate hours before a run in this folder has measured "
        "it. null: predicted or published speeds.",
        None,
        minimum=0.001,
        maximum=1_000_000_000,
    )


@dataclass(frozen=True, kw_only=True)
class Fusion(Section):
    """An entry of an extraction's section `fusion`."""

    method: str | dict[str, int] = key(
        "How layers are joined. concat: side by side. weighted: a weighted mean. {pca: k}: k "
        "principal components of the layers side by side.",
        schema=_METHOD,
    )
    layers: str | list | dict | None = key(
        "Layers to join, written as the layers of the extraction. null: all of them.",
        None,
        schema={"anyOf": [{"type": "null"}, _layers(1)]},
    )
    weights: str | list[float] | None = key(
        "For weighted: one number per layer, in the order of the layers, or probe (learned from "
        "the labels of the section probe).",
        None,
        schema=_WEIGHTS,
    )
    strands: Literal["keep", "mean", "concat"] = key(
        "keep: one row per strand. mean, concat (+ first): the + and - rows of the same bases "
        "become one row, whose strand is +.",
        "keep",
    )
    parameters: str | None = key(
        "File with the fitted parameters of another run (results/fusions/.../*.npz), to apply "
        "instead of fitting.",
        None,
        minLength=1,
    )


@dataclass(frozen=True, kw_only=True)
class Head(Section):
    """An entry of an extraction's section `heads`."""

    layer: str = key("Layer, or fusion, of this extraction whose rows the head reads.", minLength=1)
    file: str | None = key(
        "safetensors file with the head: a probe that another run saved "
        "(results/probes/.../*.safetensors), or any linear head or sparse autoencoder. null: the "
        "probe of this run for that layer, from the section probe.",
        None,
        minLength=1,
    )
    k: int | None = key(
        "For a sparse autoencoder: the number of features to keep per row, the largest after ReLU. "
        "null: all outputs are written.",
        None,
        minimum=1,
        maximum=4096,
    )
    threshold: float | None = key(
        "For a sparse autoencoder: features at or below it are left out. null: the thresholds of "
        "the file, or 0.",
        None,
        minimum=0,
        maximum=1_000_000_000,
    )
    tracks: list | None = key(
        "Classes, or numbers of outputs or features, to draw with export: bigwig. null: all, but "
        "none of a sparse autoencoder.",
        None,
        schema=_TRACKS,
    )
    track_strands: Literal["keep", "mean"] = key(
        "keep: a track per strand. mean: one track with the mean of both strands.", "keep"
    )

    @property
    def is_drawn(self) -> bool:
        """Whether it has tracks with `export: bigwig`."""
        return self.k is None if self.tracks is None else bool(self.tracks)


@dataclass(frozen=True, kw_only=True)
class Extraction(Section):
    """An entry of the section `extractions`."""

    model: Model = key("Model of this extraction. Left out: that of the section model.", None)
    layers: str | list | dict = key(
        "Modules of the model whose outputs are the embeddings: all (every block), recommended, "
        "{every: k}, or a list of names and presets. []: none, with scores: true.",
        schema=_layers(0),
    )
    pooling: str | dict[str, int] = key(
        "How the token embeddings of a window become rows. first, last: one token's. {center: k}: "
        "the mean of the middle k bases. {bin: k}: the mean of every k bases (1: one row per "
        "base).",
        "mean",
        schema=_POOLING,
    )
    skip_first: int = key(
        "Number of bases at the start of a sequence (a stretch; its BOS is not counted) that run, "
        "but are not pooled, because they have little context.",
        0,
        minimum=0,
        maximum=1_048_576,
    )
    scores: bool = key(
        "true: also write how likely the model finds the bases of each row: the sum and the mean "
        "of log p(base, given the bases before it). It runs all blocks.",
        False,
    )
    score_strands: Literal["keep", "mean"] = key(
        "keep: one row of scores per strand. mean: the + and - rows of the same bases become one "
        "row with the mean of both, whose strand is +.",
        "keep",
    )
    precision: Literal["bf16", "fp8", "fp32"] = key(
        "Precision of the model's arithmetic. Every file records it.", "fp32"
    )
    engine: Literal["packed", "stock"] = key(
        "packed: all segments of a pack at once, and only the blocks that are needed. stock: "
        "Evo2.forward, on segments of equal length.",
        "packed",
    )
    kv_type: Literal["model", "bf16", "int8"] = key(
        "Type of the KV cache of a stretch's earlier segments. model: the type of the model's "
        "arithmetic.",
        "model",
    )
    dtype: Literal["float32", "float16"] = key(
        "Type of the stored embeddings. float16 halves the files and rounds.", "float32"
    )
    levels: list[Literal["contig", "genome"]] = key(
        "Token-weighted means to write beside the windows: contig, genome. One vector per strand; "
        "the reader joins strands.",
        factory=list,
    )
    fusion: dict[str, Fusion] = key(
        "Datasets that join layers, or strands, of this extraction; by name.", factory=dict
    )
    heads: dict[str, Head] = key(
        "Heads that are applied to every row of a layer, such as a saved probe; by name.",
        factory=dict,
    )

    @property
    def bin(self) -> int | None:
        """Bases in a bin; None if a window gives one row."""
        return bin_of(self.pooling)

    @property
    def allele_layers(self) -> list[str]:
        """What the alleles of variants are compared by: the layers, or `SCORES` without layers; not
        if rows are bins."""
        return [] if self.bin else self.layers or self.outputs

    @property
    def probed(self) -> list[str]:
        """Layers whose probes are saved, and fusions for which a head asks for that."""
        asked = {head.layer for head in self.heads.values() if head.file is None}
        return [*self.layers, *(name for name in self.fusion if name in asked)]

    @property
    def drawn(self) -> list[str]:
        """Heads that have tracks, and `SCORES` if there are some."""
        heads = [name for name, head in self.heads.items() if head.is_drawn]
        return [*heads, *([SCORES] if self.scores else [])]

    @property
    def outputs(self) -> list[str]:
        """What the model gives per token: the layers, and `SCORES` if they are asked for."""
        return [*self.layers, *([SCORES] if self.scores else [])]


def bin_of(pooling: str | dict[str, int]) -> int | None:
    """Bases in a bin; None if a window gives one row."""
    return pooling.get("bin") if isinstance(pooling, dict) else None


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
        maximum=10_000,
    )
    umap: bool = key(
        "Draw a UMAP beside the principal components (takes half a minute more).", True
    )


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


@dataclass(frozen=True, kw_only=True)
class Settings(Section):
    """The whole configuration."""

    genomes: str = key(
        "Path of the sheet of genomes, relative to the working directory.", minLength=1
    )
    record_names: Literal["first_word", "full"] = key(
        "Names of FASTA records. first_word: up to the first blank of the line, as in most tools. "
        "full: the whole line, with one blank for several.",
        "first_word",
    )
    on_bad_genome: Literal["stop", "skip"] = key(
        "Genomes that cannot be used, such as a damaged file. stop: name all of them and stop. "
        "skip: leave them out; results/skipped.tsv names them.",
        "stop",
    )
    windows: Windows = key(
        "How contigs are cut into windows. A window gives one embedding, or one per bin.",
        factory=Windows,
    )
    regions: RegionSettings = key(
        "How the files in the column regions of the sheet are read.", factory=RegionSettings
    )
    variants: VariantSettings = key(
        "The windows of the variants in the files of the column variants of the sheet.",
        factory=VariantSettings,
    )
    packing: Packing = key("How windows share forward passes.", factory=Packing)
    sharding: Sharding = key("How much work one embedding job gets.", factory=Sharding)
    model: Model = key("The model, and its weights if they are a local file.", factory=Model)
    model_directory: str = key(
        "Folder for downloaded weights. Projects can share it.", "models", minLength=1
    )
    runtime: Runtime = key("The machine that the model runs on.", factory=Runtime)
    max_output_gb: float | None = key(
        "Maximum estimated size of results/ (chunk tables, packs, shard files, datasets, training "
        "set), in GB (10^9 bytes). A larger run is refused. null: no limit.",
        None,
        minimum=0.001,
        maximum=1_000_000_000,
    )
    keep: Literal["all", "datasets"] = key(
        "Which files stay: all, or datasets: the pack files and shards of a bundle are deleted as "
        "soon as it is finished in all extractions. make tidy does the same after a run.",
        "all",
    )
    extractions: dict[str, Extraction] = key(
        "What to extract; each entry is a dataset of its own, by name.", minProperties=1
    )
    compare: Compare = key(
        "Comparison of an extraction's layers without labels, for the report.", factory=Compare
    )
    burn_in: BurnIn = key(
        "How embeddings change with their upstream context, measured for the report.",
        factory=BurnIn,
    )
    probe: Probe | None = key(
        "Comparison of layers by how well a linear probe predicts labels. null: none.", None
    )
    report: Report = key("The report page.", factory=Report)
    export: str | list[str] | None = key(
        "Files for other programs, one name or a list. anndata, atlas, lance: each dataset for "
        "scanpy, embedding-atlas or LanceDB (results/export/). bigwig: tracks of heads and scores "
        "for genome browsers. finetune: the windows as a training set (results/finetune/). null: "
        "none.",
        None,
        schema=_EXPORT,
    )
    atlas: Atlas = key("The files of export: atlas.", factory=Atlas)
    finetune: Finetune = key("The training set of export: finetune.", factory=Finetune)

    @property
    def exports(self) -> SimpleNamespace:
        """By name of `EXPORTS`, whether it is asked for."""
        chosen = [self.export] if isinstance(self.export, str) else self.export or []
        return SimpleNamespace(**{name: name in chosen for name in EXPORTS})

    @property
    def keeps_datasets(self) -> bool:
        """Whether pack files and shards are deleted during the run."""
        return self.keep == "datasets"
