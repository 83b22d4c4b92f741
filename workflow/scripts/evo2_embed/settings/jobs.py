"""The keys of packs, shards and jobs."""

from dataclasses import dataclass
from typing import Literal

from evo2_embed.settings.section import Section, key


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
