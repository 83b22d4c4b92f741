"""The four kinds of StripedHyena 2 blocks, over a pack.

`hcs`, `hcm` and `hcl` are Hyena cascades with a short, medium and long inner filter; `mha` is
attention. A block changes the residual stream (T, D) in place. Work that needs no other token is
done one tile of tokens at a time, so that its intermediate results stay small, on a CPU in cache.
"""

from collections.abc import Callable, Iterator

import torch

from evo2_embed.engine.attention import RotaryPositions, attend, rotate
from evo2_embed.engine.cascade import inner_filter, projection_rows
from evo2_embed.engine.filters import ShortFilter
from evo2_embed.engine.footprint import KVCacheOptions, channels_at_once
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

    Attributes
    ----------
    parts : tuple of str
        Outputs of the block before its MLP, in the order in which they are computed.
    """

    parts: tuple[str, ...]

    def __init__(self, block: torch.nn.Module, last: str, tile: int, scratch: Scratch):
        self.block, self.tile, self.scratch = block, tile, scratch
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

    def norm(self, norm: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        """Root-mean-square norm of a tile (t, D), computed as the module does."""
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
        x += mixed
        if self.ends_before("post_norm"):
            return
        normed = self.norm(self.block.post_norm, x)
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
    """`hcs`, `hcm` and `hcl`: y = x2 * filter(x1 * v), where x2, x1 and v are the projections after
    their short filter.

    The order of the projections' columns is that of the checkpoint: interleaved, by head or one
    after the other.
    """

    parts = HYENA_PARTS

    def __init__(self, block, last, tile, scratch, channel_elements: int):
        super().__init__(block, last, tile, scratch)
        cascade = block.filter
        self.channel_elements = channel_elements
        self.short = ShortFilter(cascade.short_filter_weight, 3 * self.width)
        self.short_bias = cascade.short_filter_bias
        self.inner = inner_filter(cascade, self.width)
        self.rows = projection_rows(cascade, self.width)
        self.fp8 = block.projections.use_fp8_input_projections

    def __call__(self, x: torch.Tensor, segments: Segments, tap: Tap, state: BlockState) -> None:
        """Run the block over the residual stream x (T, D), in place."""
        if isinstance(self.inner, ShortFilter):
            self._run_short(x, segments, tap, state)
            return
        # Two thirds of a buffer that the attention uses for queries, keys and values.
        x2_all, u = self.scratch.get("sequence", (3, self.width, len(x)), x)[:2]  # (D, T) each
        for start, stop, x2, x1, v in self._gates(x, segments, tap, state):
            x2_all[:, start:stop] = x2
            torch.mul(x1, v, out=u[:, start:stop])
        if self.ends_before("filter"):
            return
        self._mix(u, x2_all, segments, state)
        for start, stop in self.tiles(segments):
            self._finish(x[start:stop], start, u[:, start:stop], tap)

    def _run_short(self, x: torch.Tensor, segments: Segments, tap: Tap, state: BlockState) -> None:
        """`hcs`: the inner filter reaches so few tokens that the whole block runs tile by tile."""
        buffers = self._buffers("u", self.width, self.inner.reach, x)
        history = state.history("u", self.width, self.inner.reach, x)
        for start, stop, x2, x1, v in self._gates(x, segments, tap, state):
            u = next(buffers)  # (D, reach + t)
            torch.mul(x1, v, out=u[:, self.inner.reach :])
            out = self.scratch.get("filtered u", x2.shape, x, torch.float32)
            y = self.inner(u, segments, start, out, history)  # float32, (D, t)
            self._finish(x[start:stop], start, y.to(x.dtype).mul_(x2), tap)

    def _gates(
        self, x: torch.Tensor, segments: Segments, tap: Tap, state: BlockState
    ) -> Iterator[tuple[int, int, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Tile by tile: its first token and end, and x2, x1 and v, (D, t) each."""
        reach = self.short.reach
        buffers = self._buffers("z", 3 * self.width, reach, x)
        history = state.history("z", 3 * self.width, reach, x)
        for (start, stop), z in zip(self.tiles(segments), buffers, strict=True):
            normed = self.norm(self.block.pre_norm, x[start:stop])
            tap("pre_norm", start, normed)
            if self.ends_before("projections"):
                continue
            self._project(normed, z[:, reach:])
            tap("projections", start, z[:, reach:].t())
            if self.ends_before("filter"):
                continue
            out = self.scratch.get("filtered z", (len(z), stop - start), x, torch.float32)
            y = self.short(z, segments, start, out, history).to(x.dtype)  # (3 D, t)
            if self.short_bias is not None:
                y += self.short_bias[:, None]
            x2, x1, v = (y[rows] for rows in self.rows)
            yield start, stop, x2, x1, v

    def _buffers(
        self, name: str, channels: int, reach: int, x: torch.Tensor
    ) -> Iterator[torch.Tensor]:
        """Per tile a buffer (C, reach + t); its first columns are the last of the tile before."""
        for start in range(0, len(x), self.tile):
            tokens = min(self.tile, len(x) - start)
            if start == 0:
                values = self.scratch.get(name, (channels, reach + tokens), x)
                values[:, :reach] = 0
            else:
                last = values[:, values.shape[1] - reach :].clone()
                values = values[:, : reach + tokens]
                values[:, :reach] = last
            yield values

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

    def _mix(
        self, u: torch.Tensor, x2: torch.Tensor, segments: Segments, state: BlockState
    ) -> None:
        """Apply the inner filter to all of u (D, T), in place, and multiply by x2 (D, T)."""
        blocks = segments.blocks(u.device)
        tokens = blocks.count * blocks.size
        channels = channels_at_once(self.channel_elements, tokens, self.inner.channel_step)
        borders = self.inner.borders(u, state)
        for first in range(0, self.width, channels):
            rows = slice(first, first + channels)
            values = blocks.split(u[rows].float())  # (C, N, size)
            y = blocks.join(self.inner(values, blocks, first, self.scratch, borders))  # (C, T)
            torch.mul(y.to(u.dtype), x2[rows], out=u[rows])

    def _finish(self, x: torch.Tensor, start: int, y: torch.Tensor, tap: Tap) -> None:
        """The part of the block after its filter, for a tile x (t, D) and y (D, t)."""
        tap("filter", start, y.t())
        if self.ends_before("out_filter_dense"):
            return
        mixed = self.scratch.linear("mixed", y.t(), self.block.out_filter_dense)
        tap("out_filter_dense", start, mixed)
        self.finish(x, start, mixed, tap)


class AttentionBlock(Block):
    """`mha`: attention with rotary positions."""

    parts = ATTENTION_PARTS

    def __init__(self, block, last, tile, scratch, kv_cache: KVCacheOptions):
        super().__init__(block, last, tile, scratch)
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
            rotate(tile[:, :2], *self.rotary(position[start:stop], x.dtype))
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
