"""The memory that a pack needs beside the weights, from the lengths of its segments.

Needs no torch: the plan computes with it before any job runs.
"""

from dataclasses import dataclass

from evo2_embed.engine.segment_lengths import SegmentLengths
from evo2_embed.model.registry import (
    AFTER_BLOCKS,
    blocks_run,
    in_blocks,
    inner_size,
    widths_of,
)
from evo2_embed.settings.extraction import SCORES

# Elements of a tile of the residual stream: on a CPU it stays in the cache, on a GPU it keeps the
# GPU busy.
TILE_ELEMENTS = {"cpu": 2**18, "cuda": 2**26}
MIN_TILE = 256  # tokens
# Elements of the channels that the medium and long filters process at once.
CHANNEL_ELEMENTS = {"cpu": 2**19, "cuda": 2**26}
# Tokens of a KV cache that are attended to, and copied to the device or the model's type, at once.
KV_TILE = 16_384
# Bytes per element of a KV cache that is not in the model's type.
KV_BYTES = {"bf16": 2, "int8": 1}
# Shortest explicit filter that vortex applies by Fourier transform (taps), and we blockwise.
MEDIUM_TAPS = 128
# Parts of a block that need no other token.
_BEFORE_MIXER = {"pre_norm", "projections", "inner_mha_cls.Wqkv"}


@dataclass(frozen=True)
class KVCacheOptions:
    """How the keys and values of a stretch are kept for its later segments.

    Attributes
    ----------
    type : {"model", "bf16", "int8"}
        In the model's type, in bfloat16, or as int8 with a scale per token and head.
    device : {"device", "host"}
        On the device of the model, or in host memory.
    """

    type: str = "model"
    device: str = "device"


@dataclass(frozen=True)
class Footprint:
    """What the memory of a pack depends on.

    Attributes
    ----------
    width, inner, head : int
        Of the residual stream (D), of the MLP (I) and of an attention head.
    outputs : int
        Sum of the widths of the requested layers.
    itemsize : int
        Bytes per element of the model's type (e).
    tile : int
        Tokens per tile, for work that needs no other token (t).
    channel_elements, channel_step : int
        Elements that the medium and long filters process at once, and the fewest channels.
    attention_blocks : int
        Blocks with a KV cache (a).
    state : int
        Bytes per stretch of the other states: the last inputs of filters, the modes, for scores the
        probabilities after the last token.
    vocabulary : int
        Logits per token (V) for scores; 0 without them.
    kv_cache : KVCacheOptions
    kernels : {"torch", "triton"}
    """

    width: int
    inner: int
    head: int
    outputs: int
    itemsize: int
    tile: int
    channel_elements: int
    channel_step: int
    attention_blocks: int
    state: int
    vocabulary: int = 0
    kv_cache: KVCacheOptions = KVCacheOptions()
    kernels: str = "torch"

    @classmethod
    def of_model(
        cls,
        config: dict,
        layers: list[str],
        itemsize: int,
        device: str,
        kv_cache: KVCacheOptions = KVCacheOptions(),
        kernels: str = "torch",
    ) -> "Footprint":
        """The footprint of the packed engine, from the StripedHyena settings of its model.

        Parameters
        ----------
        config : dict
            As `registry.model_config` gives it.
        layers : list of str
            The requested layers; `scores` for log-likelihoods.
        itemsize : int
            Bytes per element of the model's type.
        device : {"cpu", "cuda"}
        kernels : {"torch", "triton"}
        """
        width, widths = config["hidden_size"], widths_of(config)
        mixing = _mixing_blocks(config, layers)
        attention = mixing.intersection(config["attn_layer_idxs"])
        medium = mixing.intersection(config["hcm_layer_idxs"])
        vocabulary = config["vocab_size"] if SCORES in layers else 0
        blockwise = medium and config["hcm_filter_length"] >= MEDIUM_TAPS
        return cls(
            width=width,
            inner=inner_size(config),
            head=width // config["num_attention_heads"],
            outputs=sum(1 if layer == SCORES else widths[layer] for layer in layers),
            itemsize=itemsize,
            tile=max(MIN_TILE, TILE_ELEMENTS[device] // width // MIN_TILE * MIN_TILE),
            channel_elements=CHANNEL_ELEMENTS[device],
            channel_step=width // config["hcm_filter_groups"] if blockwise else 1,
            attention_blocks=len(attention),
            state=sum(_state_bytes(config, block, itemsize) for block in mixing - attention)
            + 4 * vocabulary,
            vocabulary=vocabulary,
            kv_cache=kv_cache,
            kernels=kernels,
        )

    def cache_bytes(self, tokens: int) -> int:
        """Bytes of the KV cache of this many tokens of stretches.

        In each of a attention blocks 2 D elements per token of b bytes, and for int8 a scale of
        four bytes per head: 2 a D b (1 + 4 / head).
        """
        scales = 4 * (self.width // self.head) if self.kv_cache.type == "int8" else 0
        return tokens * self.attention_blocks * 2 * (self.width * self._kv_itemsize + scales)

    def bytes(self, segments: SegmentLengths) -> int:
        """Peak memory of a pack, in bytes, without the weights and the KV cache (`cache_bytes`).

        Held all the time, for T tokens, tiles of t tokens, and C channels of A tokens (of whole
        blocks) in the medium and long filters:

        - T (64 + (4 D + outputs) e): token ids and indices; the residual stream, the input of the
          filters or the attention (3 D), and the requested layers;
        - t ((7 D + 2 I) e + 16 head): a tile's norm, projections, gated filter, rotary positions,
          MLP;
        - three times the state of each segment that continues a stretch;
        - without Triton's kernels, 16 t D: a tile's filtered projections in float32; and 16 C A:
          what the medium filter spreads, and its sum, in float32.

        In addition the largest of

        - t I e: the first block's activation;
        - t (V (e + 4) + 2 D e): for scores, a tile's last norm, logits and probabilities;
        - without Triton's kernels, a tile's projections, gates and taps in float32, if the model is
          not in float32; and 12 C A: the medium and long filters' input, states and output;
        - the attention (`_attention`).
        """
        tokens, width, size = segments.total, self.width, self.itemsize
        tile = min(self.tile, tokens)
        held = (
            tokens * (64 + (4 * width + self.outputs) * size)
            + tile * ((7 * width + 2 * self.inner) * size + 16 * self.head)
            + 3 * self.state * len(segments.continued)
        )
        head = tile * (self.vocabulary * (size + 4) + 2 * width * size) if self.vocabulary else 0
        passing = max(tile * self.inner * size, self._attention(segments), head)
        if self.kernels == "triton":
            return held + passing
        block = segments.block_size()
        aligned = int((-(-segments.lengths // block) * block).sum())
        channels = channels_at_once(self.channel_elements, aligned, self.channel_step)
        filtered = min(channels, width) * aligned
        converted = 0 if size == 4 else tile * width * (20 + 3 * size)
        held += 16 * (tile * width + filtered)
        return held + max(converted, 12 * filtered, passing)

    def _attention(self, segments: SegmentLengths) -> int:
        """Bytes that the attention makes beside its input.

        Its output; of segments of different lengths, in float32 or beside segments that continue a
        stretch, one padded batch (`_attended`); for a segment of n tokens that continues a stretch
        n D (2 e + 8) for the parts that are combined, and the copy of `KV_TILE` tokens of a cache
        that is elsewhere or in another type.
        """
        vector = self.width * self.itemsize
        if self.itemsize == 2 and not len(segments.continued):
            return segments.total * vector  # one kernel for segments of any lengths
        fresh = _attended(segments) * vector
        if not len(segments.continued):
            return fresh
        longest = int(segments.lengths[segments.continued].max())
        earlier = min(KV_TILE, int(segments.offset.max()))
        parts = longest * (2 * vector + 8 * self.width) + earlier * self._copied()
        return max(fresh, segments.total * vector + parts)

    def _copied(self) -> int:
        """Bytes per token to copy keys and values to the device and the model's type."""
        if self.kv_cache == KVCacheOptions():
            return 0
        scaled = 4 if self.kv_cache.type == "int8" else 0
        # From the host the next tile comes while one is in use.
        tiles = 2 if self.kv_cache.device == "host" else 1
        return 2 * self.width * (tiles * self._kv_itemsize + self.itemsize + scaled)

    @property
    def _kv_itemsize(self) -> int:
        return KV_BYTES.get(self.kv_cache.type, self.itemsize)


def _attended(segments: SegmentLengths) -> int:
    """Vectors (T', D) that the attention makes of the segments that begin a stretch.

    The output of the pack; for the largest batch once more its output, and if that has to be padded
    queries, keys and values, and the output without padding as well.
    """
    if not len(segments.fresh) or segments.uniform:
        return segments.total
    lengths = segments.lengths
    largest = max(
        int(lengths[members].sum())
        if segments.is_batch(members)
        else 5 * len(members) * int(lengths[members].max())
        for members in segments.batches(segments.fresh)
    )
    return segments.total + largest


def prefix_of(reach: int) -> int:
    """Columns before a tile for a filter that looks back `reach` tokens: the tile then starts at a
    multiple of 16 bytes."""
    return -(-reach // 8) * 8


def channels_at_once(elements: int, tokens: int, step: int) -> int:
    """Number of channels, in whole steps, whose tokens are about `elements` elements."""
    return max(1, elements // (tokens * step)) * step


def _mixing_blocks(config: dict, layers: list[str]) -> set[int]:
    """The blocks whose filter or attention runs for these layers."""
    blocks = blocks_run(config, layers)
    if AFTER_BLOCKS.intersection(layers):
        return set(range(blocks))
    asked, deepest = in_blocks(layers), blocks - 1
    parts = {"".join(part) for _, block, *part in asked if int(block) == deepest}
    return set(range(deepest + bool(parts - _BEFORE_MIXER)))


def _state_bytes(config: dict, block: int, itemsize: int) -> int:
    """Bytes per stretch of a Hyena block's states: last inputs of filters, modes in float64."""
    width = config["hidden_size"]
    projections = 3 * width * (config["short_filter_length"] - 1) * itemsize
    if block in config["hcl_layer_idxs"]:
        return projections + 8 * width * config["state_size"]
    kind = "hcm" if block in config["hcm_layer_idxs"] else "hcs"
    return projections + width * (config[f"{kind}_filter_length"] - 1) * itemsize
