"""The packed engine: all segments of a pack in one forward pass, independent of each other."""

import re
from collections import Counter

import numpy as np
import torch

from evo2_embed.engine.blocks import MLP_PARTS, AttentionBlock, Block, HyenaBlock, Tap
from evo2_embed.engine.footprint import MIN_TILE, Footprint, KVCacheOptions
from evo2_embed.engine.kernels.choose import choose_kernels
from evo2_embed.engine.memory import free_bytes, gib, is_out_of_memory
from evo2_embed.engine.pack import Pack
from evo2_embed.engine.scores import Scorer
from evo2_embed.engine.scratch import Scratch
from evo2_embed.engine.segments import Segments, upload
from evo2_embed.engine.states import BlockState, States
from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log
from evo2_embed.model.registry import AFTER_BLOCKS
from evo2_embed.settings.extraction import SCORES


class PackedEngine:
    """An executor over the modules of a loaded StripedHyena; see `Engine`.

    It runs up to the deepest requested layer, and no further. A pack that does not fit the memory
    that is free when the engine is made runs as two packs or more, a single segment too.

    Parameters
    ----------
    evo2 : evo2.models.Evo2
    layers : list of str
        Layers, and `scores` for the log-likelihood of each token.
    kv_cache : KVCacheOptions
        How the keys and values of a stretch are kept for its later segments.
    kernels : {"auto", "torch", "triton"}
        auto: Triton's on a GPU.

    Raises
    ------
    InputError
        When it cannot give one of the layers, or the kernels cannot run.
    """

    def __init__(
        self,
        evo2,
        layers: list[str],
        kv_cache: KVCacheOptions | None = None,
        kernels: str = "auto",
    ):
        self.model, self.layers = evo2.model, layers
        self.kv_cache = kv_cache or KVCacheOptions()
        self.states = States()
        self.device = self.model.embedding_layer.weight.device
        self.kernels = choose_kernels(kernels, self.device)
        self.scratch = Scratch()
        last = _last_parts(self.model, layers)
        self.footprint = Footprint.of_model(
            self.model.config,
            layers,
            self.model.embedding_layer.weight.element_size(),
            self.device.type,
            self.kv_cache,
            self.kernels,
        )
        self.blocks = [self._executor(index, part) for index, part in enumerate(last)]
        self.free = min(free_bytes(torch.device(x)) for x in self._devices())
        self.cache_share = self._largest_cache_share()
        self.free_host = free_bytes(torch.device("cpu"))
        self.most_tokens: int | None = None  # set when a pack was too large

    @torch.inference_mode()
    def run(self, pack: Pack) -> dict[str, torch.Tensor]:
        """See `Engine.run`.

        Raises
        ------
        InputError
            When there is too little memory.
        """
        pack = pack.without_padding()
        outputs = _Outputs(self.layers, len(pack.tokens))
        self._run(pack, outputs, 0)
        return outputs.values

    def _run(self, pack: Pack, outputs: "_Outputs", first: int) -> None:
        """Run a pack, divided if need be, whose outputs start at row `first`."""
        segments = Segments(pack)
        fits = self._fits(segments)
        if fits and self._forward(pack, segments, outputs, first):
            return
        one = len(segments.lengths) == 1
        for smaller in pack.halve() if one else pack.split(segments.middle()):
            self._run(smaller, outputs, first)
            first += len(smaller.tokens)

    def _fits(self, segments: Segments) -> bool:
        """Whether a pack should fit the free memory in one forward pass.

        Raises
        ------
        InputError
            When it does not, and is too small to be divided.
        """
        needed, cached = self.footprint.bytes(segments), self.states.tokens_with(segments)
        needed += self.footprint.state * self.states.count_with(segments)
        on_device, host = self.footprint.cache_bytes(cached), 0
        if self.kv_cache.device == "host":
            on_device, host = 0, on_device
        on_device = int(on_device * self.cache_share)
        fits = needed + on_device <= self.free and host <= self.free_host
        if not fits and (host > self.free_host or _is_least(segments)):
            where, free = (self.device, self.free) if not host else ("the host", self.free_host)
            raise InputError(
                f"{segments.total} tokens need {gib(needed)} beside the weights, the KV cache of "
                f"{cached} tokens {gib(on_device + host)}, and {where} has {gib(free)} free: use a "
                "shorter windows.context.span, kv_type int8, kv_device host or more memory"
            )
        return fits and segments.total <= (self.most_tokens or segments.total)

    def _forward(self, pack: Pack, segments: Segments, outputs: "_Outputs", first: int) -> bool:
        """Run a pack in one forward pass; False if it did not fit the memory."""
        try:
            self._run_blocks(pack, segments, outputs, first)
            return True
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if _is_least(segments):
                raise InputError(
                    f"{segments.total} tokens do not fit the memory of {self.device}: use more "
                    f"memory, or fewer layers ({' '.join(str(error).split())[:200]})"
                ) from error
        self.most_tokens = segments.total // 2
        self.free_unused()
        log.warning(
            "%d tokens were too many for the memory of %s; %d at once from now on",
            segments.total,
            self.device,
            self.most_tokens,
        )
        return False

    def free_unused(self) -> None:
        """See `Engine.free_unused`."""
        self.scratch.clear()
        torch.cuda.empty_cache()

    def _run_blocks(self, pack: Pack, segments: Segments, outputs: "_Outputs", first: int) -> None:
        ids = upload(pack.tokens.astype(np.int64), self.device)
        weight = self.model.embedding_layer.weight
        x = self.scratch.get("x", (segments.total, weight.shape[1]), weight)  # (T, D)
        torch.index_select(weight, 0, ids, out=x)
        outputs.put("embedding_layer", first, x)
        states = self.states.enter(segments, len(self.blocks) + 1)
        *of_blocks, of_head = states
        for index, (block, state) in enumerate(zip(self.blocks, of_blocks, strict=True)):
            x = x.to(self.model.block_idx_to_device[index])
            block(x, segments, outputs.tap(f"blocks.{index}", first), state)
        if AFTER_BLOCKS.intersection(self.layers):
            self._run_head(x, ids, segments, outputs, first, of_head)
        self.states.leave(segments, states)

    def _run_head(
        self,
        x: torch.Tensor,
        ids: torch.Tensor,
        segments: Segments,
        outputs: "_Outputs",
        first: int,
        state: BlockState,
    ) -> None:
        """The last norm of the residual stream x (T, D) and, for scores, the logits of a tile."""
        x, scorer = x.to(self.model.norm.scale.device), None
        if SCORES in self.layers:
            scorer = Scorer(ids.to(x.device), segments, state, self.model.config.vocab_size)
        for start in range(0, len(x), self.footprint.tile):
            normed = self.model.norm(x[start : start + self.footprint.tile])
            outputs.put("norm", first + start, normed)
            if scorer:
                scorer.add(start, self.model.unembed(normed))
        if scorer:
            outputs.put(SCORES, first, scorer.finish())

    def _executor(self, index: int, last: str) -> Block:
        block = self.model.blocks[index]
        shared = last, self.footprint.tile, self.scratch, self.kernels
        if not hasattr(block, "inner_mha_cls"):
            elements = self.footprint.channel_elements
            return HyenaBlock(block, *shared, elements)
        return AttentionBlock(block, *shared, self.kv_cache)

    def _largest_cache_share(self) -> float:
        """Share of the KV cache on the device that has most of it: each has that of its blocks."""
        placed = self.model.block_idx_to_device
        counts = Counter(
            str(placed[index])
            for index, block in enumerate(self.blocks)
            if isinstance(block, AttentionBlock)
        )
        return max(counts.values(), default=1) / max(counts.total(), 1)

    def _devices(self) -> set[str]:
        return {str(self.device), *map(str, self.model.block_idx_to_device.values())}


def _is_least(segments: Segments) -> bool:
    """Whether a pack is too small to be divided."""
    return segments.total <= MIN_TILE


class _Outputs:
    """The token embeddings of the requested layers, filled tile by tile."""

    def __init__(self, layers: list[str], tokens: int):
        self.layers, self.tokens = layers, tokens
        self.values: dict[str, torch.Tensor] = {}

    def put(self, layer: str, first: int, values: torch.Tensor) -> None:
        """Store the output (t, width) of a layer for the tokens from `first` on."""
        if layer not in self.layers:
            return
        if layer not in self.values:
            self.values[layer] = values.new_empty(self.tokens, values.shape[1])
        self.values[layer][first : first + len(values)] = values

    def tap(self, block: str, first: int) -> Tap:
        """A function to which a block gives the outputs of its parts."""
        return lambda part, start, values: self.put(
            f"{block}.{part}" if part else block, first + start, values
        )


def _last_parts(model: torch.nn.Module, layers: list[str]) -> list[str]:
    """The last part to compute of each block that is needed."""
    requested = [_split_name(model, layer) for layer in layers]
    if AFTER_BLOCKS.intersection(layers):
        return [""] * len(model.blocks)
    deepest = max((block for block, _ in requested), default=-1)
    if deepest < 0:
        return []
    order = _parts(model.blocks[deepest])
    last = max((part for block, part in requested if block == deepest), key=order.index)
    return [""] * deepest + [last]


def _split_name(model: torch.nn.Module, layer: str) -> tuple[int, str]:
    """Index of a layer's block and name of its part; -1 for layers outside the blocks."""
    if layer == "embedding_layer" or (layer in AFTER_BLOCKS and model.norm is not None):
        return -1, layer
    match = re.fullmatch(r"blocks\.(\d+)(?:\.(.+))?", layer)
    if match and int(match[1]) < len(model.blocks):
        block, part = int(match[1]), match[2] or ""
        if part in _parts(model.blocks[block]):
            return block, part
    raise InputError(f"layer '{layer}': the packed engine cannot give it (engine: stock may)")


def _parts(block: torch.nn.Module) -> tuple[str, ...]:
    kind = AttentionBlock if hasattr(block, "inner_mha_cls") else HyenaBlock
    # In the first block the activation is a function, not a module with an output of its own.
    activation = isinstance(block.mlp.act, torch.nn.Module)
    return kind.parts + tuple(part for part in MLP_PARTS if part != "mlp.act" or activation)
