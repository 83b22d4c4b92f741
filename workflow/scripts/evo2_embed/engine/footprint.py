"""How much memory a pack needs beside the weights, from the lengths of its segments.

It needs no torch: what a job will take is known before it runs.
"""

from dataclasses import dataclass

from evo2_embed.engine.segment_lengths import SegmentLengths
from evo2_embed.model.models import inner_size, widths_of

# Numbers in a tile of the residual stream: on a CPU what stays in its cache, on a GPU what keeps
# it busy.
TILE_ELEMENTS = {"cpu": 2**18, "cuda": 2**26}
MIN_TILE = 256  # tokens
# Numbers in the channels that the medium and long filters take at once.
CHANNEL_ELEMENTS = {"cpu": 2**19, "cuda": 2**26}
# Tokens of a past that are attended to, and brought to the device or to the model's type, at once.
KV_TILE = 16_384
# Bytes of a number of kept keys and values, where not that of the model.
KV_BYTES = {"bf16": 2, "int8": 1}
# Shortest explicit filter that vortex applies by Fourier transform (taps), and we blockwise.
MEDIUM_TAPS = 128
# Parts of a block that need no other token.
_BEFORE_MIXER = {"pre_norm", "projections", "inner_mha_cls.Wqkv"}


@dataclass(frozen=True)
class Footprint:
    """What the memory of a pack depends on.

    Attributes
    ----------
    width, inner, head : int
        Of the residual stream (D), of the MLP (I) and of an attention head.
    outputs : int
        Widths of the layers that are asked for, together.
    itemsize : int
        Bytes of a number of the model's type (e).
    tile : int
        Tokens that token-by-token work takes at once (t).
    channel_elements, channel_step : int
        Numbers that the medium and long filters take at once, and the fewest channels.
    attention_blocks : int
        Blocks that keep keys and values.
    state : int
        Bytes of the other states of a stretch: the last inputs of filters, the modes.
    kv_type, kv_device : str
        As in `engines.keysvalues.Keeping`.
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
    kv_type: str = "model"
    kv_device: str = "device"

    @classmethod
    def of_model(
        cls,
        config: dict,
        layers: list[str],
        itemsize: int,
        device: str,
        kv_type: str = "model",
        kv_device: str = "device",
    ) -> "Footprint":
        """The footprint of the packed engine, from the StripedHyena settings of its model.

        Parameters
        ----------
        config : dict
            As `models.model_config` gives it.
        layers : list of str
            The layers that are asked for.
        itemsize : int
            Bytes per number of the model's type.
        device : {"cpu", "cuda"}
        """
        width, widths = config["hidden_size"], widths_of(config)
        mixing = _mixing_blocks(config, layers)
        attention = mixing.intersection(config["attn_layer_idxs"])
        medium = mixing.intersection(config["hcm_layer_idxs"])
        blockwise = medium and config["hcm_filter_length"] >= MEDIUM_TAPS
        return cls(
            width=width,
            inner=inner_size(config),
            head=width // config["num_attention_heads"],
            outputs=sum(widths[layer] for layer in layers),
            itemsize=itemsize,
            tile=max(MIN_TILE, TILE_ELEMENTS[device] // width),
            channel_elements=CHANNEL_ELEMENTS[device],
            channel_step=width // config["hcm_filter_groups"] if blockwise else 1,
            attention_blocks=len(attention),
            state=sum(_state_bytes(config, block, itemsize) for block in mixing - attention),
            kv_type=kv_type,
            kv_device=kv_device,
        )

    def kept_bytes(self, tokens: int) -> int:
        """Bytes of the keys and values of so many tokens of stretches.

        In each of a attention blocks 2 D numbers a token of b bytes, and for int8 a scale of four
        bytes for every head: 2 a D b (1 + 4 / head).
        """
        b = KV_BYTES.get(self.kv_type, self.itemsize)
        scales = 4 * (self.width // self.head) if self.kv_type == "int8" else 0
        return tokens * self.attention_blocks * 2 * (self.width * b + scales)

    def bytes(self, segments: SegmentLengths) -> int:
        """Peak of a pack, in bytes, weights left out.

        Held all the time, for T tokens, tiles of t tokens, and C channels of A tokens (of whole
        blocks) in the medium and long filters:

        - T (64 + (4 D + outputs) e): token ids and places; the residual stream, what mixes along
          the sequence (3 D), and the layers asked for;
        - t ((7 D + 2 I) e + 16 (D + head)): a tile's norm, projections, filtered projections,
          rotary positions, MLP;
        - 16 C A: what the medium filter spreads, and its sum, in float32.

        Beside that the largest of

        - a tile's projections, gates and taps in another type, where the model is not float32;
        - 12 C A: the medium and long filters' input, states and output;
        - attention: its output; where the segments are not of one length, for one batch of them the
          output again, and where those are not of one length, or not neighbours, queries, keys and
          values as well, all filled up to the longest segment, and the output without what fills
          up; for a segment of n tokens that goes on with a stretch, n D (2 e + 8) for its parts,
          and where keys and values have to be brought to the device or to the model's type, those
          of `KV_TILE` tokens.

        Beside that, for every segment that goes on with a stretch, its states three times. The keys
        and values of stretches are not in it (`kept_bytes`).
        """
        tokens, width, size = segments.total, self.width, self.itemsize
        tile = min(self.tile, tokens)
        block = segments.block_size()
        aligned = int((-(-segments.lengths // block) * block).sum())
        channels = channels_at_once(self.channel_elements, aligned, self.channel_step)
        filtered = min(channels, width) * aligned
        held = (
            tokens * (64 + (4 * width + self.outputs) * size)
            + tile * ((7 * width + 2 * self.inner) * size + 16 * (width + self.head))
            + 16 * filtered
            + 3 * self.state * len(segments.continued)
        )
        converted = 0 if size == 4 else tile * width * (20 + 3 * size)
        return held + max(converted, 12 * filtered, self._attention(segments))

    def _attention(self, segments: SegmentLengths) -> int:
        """Bytes that the attention makes beside its input."""
        vector = self.width * self.itemsize
        fresh = _attended(segments) * vector
        if not len(segments.continued):
            return fresh
        longest = int(segments.lengths[segments.continued].max())
        past = min(KV_TILE, int(segments.before.max()))
        parts = longest * (2 * vector + 8 * self.width) + past * self._brought()
        return max(fresh, segments.total * vector + parts)

    def _brought(self) -> int:
        """Bytes of a token's keys and values on their way to the device and the model's type."""
        if self.kv_device == "device" and self.kv_type == "model":
            return 0
        b = KV_BYTES.get(self.kv_type, self.itemsize)
        return 2 * self.width * (b + self.itemsize + (4 if self.kv_type == "int8" else 0))


def _attended(segments: SegmentLengths) -> int:
    """Vectors that the attention makes of segments that begin a stretch."""
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


def channels_at_once(elements: int, tokens: int, step: int) -> int:
    """How many channels of this many tokens are about `elements` numbers: some whole steps."""
    return max(1, elements // (tokens * step)) * step


def _mixing_blocks(config: dict, layers: list[str]) -> set[int]:
    """The blocks that get as far as their filter, or their attention, for these layers."""
    if "norm" in layers:
        return set(range(config["num_layers"]))
    asked = [layer.split(".", 2) for layer in layers if layer != "embedding_layer"]
    deepest = max((int(block) for _, block, *_ in asked), default=-1)
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
