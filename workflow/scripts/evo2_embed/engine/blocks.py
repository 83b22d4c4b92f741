"""The four kinds of StripedHyena 2 blocks, over a pack.

`hcs`, `hcm` and `hcl` are Hyena cascades with a short, medium and long inner filter; `mha` is
attention. A block changes the residual stream (T, D) in place. Work that needs no other token is
done one tile of tokens at a time, so that its intermediate results stay small, on a CPU in cache.
"""

from collections.abc import Callable, Iterator

import torch

from evo2_embed.engine.attention import RotaryPositions, attend, rotate
from evo2_embed.engine.footprint import KVCacheOptions
from evo2_embed.engine.mixing import Mixer, Tiles
from evo2_embed.engine.scratch import Scratch, linear
from evo2_embed.engine.segments import Segments
from evo2_embed.engine.states import BlockState

# Receives the output of a part of a block: name within the block, first token, values (t, width).
Tap = Callable[[str, int, torch.Tensor], None]

# Outputs in the order in which they are computed; "" is the block itself.
HYENA_PARTS = ("pre_norm", "projections", "filter", "out_filter_dense")
ATTENTION_PARTS = ("pre_norm", "inner_mha_cls.Wqkv", "inner_mha_cls.out_proj", "inner_mha_cls")
MLP_PARTS = ("post_norm", "mlp.l1", "mlp.act", "mlp.l2", "mlp.l3", "mlp", "")


class Block:
    """What all kinds of blocks share: tiles, norms and the MLP.

    Parameters
    ----------
    block : Module
        Vortex's block.
    last : str
        The last requested part; nothing after it is computed.
    tile : int
        Tokens per tile.
    kernels : {"torch", "triton"}

    Attributes
    ----------
    parts : tuple of str
        Outputs of the block before its MLP, in the order in which they are computed.
    """

    parts: tuple[str, ...]

    def __init__(
        self, block: torch.nn.Module, last: str, tile: int, scratch: Scratch, kernels: str
    ):
        self.block, self.tile, self.scratch, self.kernels = block, tile, scratch, kernels
        self.width = block.pre_norm.hidden_size
        self._order = {part: number for number, part in enumerate(self.parts + MLP_PARTS)}
        self._last = self._order[last]

    def ends_before(self, part: str) -> bool:
        """Whether nothing from this part on is requested."""
        return self._last < self._order[part]

    def tiles(self, segments: Segments) -> Iterator[tuple[int, int]]:
        """First token and end of each tile."""
        for start in range(0, segments.total, self.tile):
            yield start, min(start + self.tile, segments.total)

    def norm(
        self, norm: torch.nn.Module, x: torch.Tensor, added: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Root-mean-square norm of a tile (t, D), computed as the module does, after `added` was
        added to the tile in place."""
        if self.kernels == "triton" and not norm.use_flash_rmsnorm:
            from evo2_embed.engine.kernels.norm import add_norm

            return add_norm(x, added, norm.scale, norm.eps, self.scratch.get("normed", x.shape, x))
        if added is not None:
            x += added
        if norm.use_flash_rmsnorm:
            return norm(x)
        length = x.norm(2, dim=-1, keepdim=True).mul_(self.width**-0.5).add_(norm.eps)  # (t, 1)
        return torch.div(x, length, out=self.scratch.get("normed", x.shape, x)).mul_(norm.scale)

    def finish(self, x: torch.Tensor, start: int, mixed: torch.Tensor, tap: Tap) -> None:
        """Add the output of the Hyena cascade or the attention for a tile, and run the MLP.

        Parameters
        ----------
        x, mixed : Tensor, (t, D)
            The tile of the residual stream, changed in place, and what is added to it.
        """
        if self.ends_before("post_norm"):
            return
        normed = self.norm(self.block.post_norm, x, mixed)
        tap("post_norm", start, normed)
        if self.ends_before("mlp.l1"):
            return
        mlp = self.block.mlp
        gate = self.scratch.linear("mlp.l1", normed, mlp.l1)  # (t, inner)
        tap("mlp.l1", start, gate)
        gate = mlp.act(gate)
        tap("mlp.act", start, gate)
        if self.ends_before("mlp.l2"):
            return
        values = self.scratch.linear("mlp.l2", normed, mlp.l2)  # (t, inner)
        tap("mlp.l2", start, values)
        if self.ends_before("mlp.l3"):
            return
        added = self.scratch.linear("added", values.mul_(gate), mlp.l3)  # (t, D)
        tap("mlp.l3", start, added)
        tap("mlp", start, added)
        x += added
        tap("", start, x)


class HyenaBlock(Block):
    """`hcs`, `hcm` and `hcl`; see `Mixer`."""

    parts = HYENA_PARTS

    def __init__(self, block, last, tile, scratch, kernels, channel_elements: int):
        super().__init__(block, last, tile, scratch, kernels)
        self.mixer = self._mixer()(block.filter, self.width, scratch, channel_elements)
        self.fp8 = block.projections.use_fp8_input_projections

    def __call__(self, x: torch.Tensor, segments: Segments, tap: Tap, state: BlockState) -> None:
        """Run the block over the residual stream x (T, D), in place."""
        tiles = self._projections(x, segments, tap)
        if self.ends_before("filter"):
            for _ in tiles:
                pass
            return
        for start, stop, y in self.mixer(tiles, x, segments, state):
            tap("filter", start, y.t())
            if self.ends_before("out_filter_dense"):
                continue
            mixed = self.scratch.linear("mixed", y.t(), self.block.out_filter_dense)
            tap("out_filter_dense", start, mixed)
            self.finish(x[start:stop], start, mixed, tap)

    def _mixer(self) -> type[Mixer]:
        if self.kernels == "triton":
            from evo2_embed.engine.kernels.mixing import TritonMixer

            if TritonMixer.supports(self.block.filter):
                return TritonMixer
        return Mixer

    def _projections(self, x: torch.Tensor, segments: Segments, tap: Tap) -> Tiles:
        """Tile by tile: its first token and end, and its projections (3 D, prefix + t), of which
        the first columns are the last of the tile before."""
        prefix, last = self.mixer.prefix, None
        for start, stop in self.tiles(segments):
            normed = self.norm(self.block.pre_norm, x[start:stop])
            tap("pre_norm", start, normed)
            if self.ends_before("projections"):
                continue
            z = self.scratch.matrix("z", (3 * self.width, prefix + stop - start), x)
            z[:, :prefix] = 0 if last is None else last
            self._project(normed, z[:, prefix:])
            tap("projections", start, z[:, prefix:].t())
            if stop < len(x):
                last = z[:, stop - start :].clone()
            yield start, stop, z

    def _project(self, normed: torch.Tensor, out: torch.Tensor) -> None:
        """Projections of a tile (t, D), channels first, (3 D, t)."""
        projections = self.block.projections
        if self.fp8:
            # Its kernels take a multiple of 16 tokens only.
            padded = self.block.pad_to_multiple(normed[None])
            with torch.cuda.device(normed.device):
                out.copy_(projections(padded)[0][0, : len(normed)].t())
            return
        torch.mm(projections.weight, normed.t(), out=out)
        if projections.bias is not None:
            out += projections.bias[:, None]


class AttentionBlock(Block):
    """`mha`: attention with rotary positions."""

    parts = ATTENTION_PARTS

    def __init__(self, block, last, tile, scratch, kernels, kv_cache: KVCacheOptions):
        super().__init__(block, last, tile, scratch, kernels)
        self.rotary, self.kv_cache = RotaryPositions(block.inner_mha_cls.rotary_emb), kv_cache

    def __call__(self, x: torch.Tensor, segments: Segments, tap: Tap, state: BlockState) -> None:
        """Run the block over the residual stream x (T, D), in place."""
        mha = self.block.inner_mha_cls
        qkv = self.scratch.get("sequence", (len(x), 3, mha.num_heads, mha.head_dim), x)
        position = segments.stretch_positions(x.device)  # (T,)
        for start, stop in self.tiles(segments):
            normed = self.norm(self.block.pre_norm, x[start:stop])
            tap("pre_norm", start, normed)
            if self.ends_before("inner_mha_cls.Wqkv"):
                continue
            tile = qkv[start:stop]  # (t, 3, heads, head_dim)
            linear(normed, mha.Wqkv, out=tile.flatten(1))
            self._rotate(tile[:, :2], *self.rotary(position[start:stop], x.dtype))
            # Vortex rotates in place, so its Wqkv output is rotated when a hook returns it.
            tap("inner_mha_cls.Wqkv", start, tile.flatten(1))
        if self.ends_before("inner_mha_cls.out_proj"):
            return
        context = attend(qkv, segments, mha.inner_attn, self.scratch, state, self.kv_cache)
        context = context.flatten(1)  # (T, D)
        for start, stop in self.tiles(segments):
            mixed = self.scratch.linear("mixed", context[start:stop], mha.out_proj)
            tap("inner_mha_cls.out_proj", start, mixed)
            tap("inner_mha_cls", start, mixed)
            self.finish(x[start:stop], start, mixed, tap)

    def _rotate(self, qk: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
        if self.kernels == "triton":
            from evo2_embed.engine.kernels.rotary import rotate as rotate_in_place

            rotate_in_place(qk, cos, sin)
        else:
            rotate(qk, cos, sin)
