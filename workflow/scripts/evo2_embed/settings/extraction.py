"""The keys of an extraction: its model, layers, fusions and heads."""

from dataclasses import dataclass
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
class Model(Section):
    """The section `model`."""

    name: str = key("evo2_tiny (bundled), or a model of the package evo2.", "evo2_tiny")
    checkpoint: str | None = key(
        "File with the weights; a path, or an address (s3://, https://). null: download them once.",
        None,
        minLength=1,
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
