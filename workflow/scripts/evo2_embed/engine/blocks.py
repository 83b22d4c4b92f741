"""The four kinds of StripedHyena 2 blocks, over a pack.

`hcs`, `hcm` and `hcl` are Hyena cascades with a short, medium and long inner filter, `mha` is
attention. A block changes the residual stream (T, D) in place; work that needs no other token is
done a tile of tokens at a time, so that what it makes stays small, and on a CPU in the cache.
"""

from collections.abc import Callable, Iterator

import torch

from evo2_embed.engine.attention import RotaryPositions, attend, rotate
from evo2_embed.engine.cascade import inner_filter, projection_rows
from evo2_embed.engine.filters import ShortFilter
from evo2_embed.engine.footprint import channels_at_once
from evo2_embed.engine.kv_cache import Keeping
from evo2_embed.engine.scratch import Scratch, linear
from evo2_embed.engine.segments import Segments
from evo2_embed.engine.states import Carry

# Receives the output of a part of a block: name within the block, first token, values (t, width).
Tap = Callable[[str, int, torch.Tensor], None]

# Outputs in the order in which they come about; "" is the block itself.
HYENA_PARTS = ("pre_norm", "projections", "filter", "out_filter_dense")
ATTENTION_PARTS = ("pre_norm", "inner_mha_cls.Wqkv", "inner_mha_cls.out_proj", "inner_mha_cls")
MLP_PARTS = ("post_norm", "mlp.l1", "mlp.act", "mlp.l2", "mlp.l3", "mlp", "")


class Block:
    """What the kinds of blocks share: the tiles, and the MLP.

    Parameters
    ----------
    block : Module
        Vortex's.
    last : str
        The last of the parts that is asked for; nothing after it is computed.
    tile : int
        Tokens in a tile.

    Attributes
    ----------
    parts : tuple of str
        Outputs of the block but for its MLP, in the order in which they come about.
    """

    parts: tuple[str, ...]

    def __init__(self, block: torch.nn.Module, last: str, tile: int, scratch: Scratch):
        self.block, self.tile, self.scratch = block, tile, scratch
        self.width = block.pre_norm.hidden_size
        self._order = {part: number for number, part in enumerate(self.parts + MLP_PARTS)}
        self._last = self._order[last]

    def ends_before(self, part: str) -> bool:
        """Whether nothing from this part on is asked for."""
        return self._last < self._order[part]

    def tiles(self, segments: Segments) -> Iterator[tuple[int, int]]:
        """First and last token of each tile."""
        for start in range(0, segments.total, self.tile):
            yield start, min(start + self.tile, segments.total)

    def norm(self, norm: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        """Root-mean-square norm of a tile (t, D), as the module does it."""
        if norm.use_flash_rmsnorm:
            return norm(x)
        length = x.norm(2, dim=-1, keepdim=True).mul_(self.width**-0.5).add_(norm.eps)
        return torch.div(x, length, out=self.scratch.get("normed", x.shape, x)).mul_(norm.scale)

    def finish(self, x: torch.Tensor, start: int, mixed: torch.Tensor, tap: Tap) -> None:
        """Add what the mixer gives for a tile, and run the MLP.

        Parameters
        ----------
        x, mixed : Tensor, (t, D)
            The tile of the residual stream; changed in place.
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
        values = self.scratch.linear("mlp.l2", normed, mlp.l2)
        tap("mlp.l2", start, values)
        if self.ends_before("mlp.l3"):
            return
        added = self.scratch.linear("added", values.mul_(gate), mlp.l3)
        tap("mlp.l3", start, added)
        tap("mlp", start, added)
        x += added
        tap("", start, x)


class HyenaBlock(Block):
    """`hcs`, `hcm` and `hcl`: y = x2 * filter(x1 * v), with (x2, x1, v) the filtered projections.

    The columns of the projections lie as the checkpoint has them: interleaved, by head or one
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

    def __call__(self, x: torch.Tensor, segments: Segments, tap: Tap, carry: Carry) -> None:
        """Run the block over the residual stream x (T, D), in place."""
        if isinstance(self.inner, ShortFilter):
            self._run_short(x, segments, tap, carry)
            return
        x2_all, u = self.scratch.get("sequence", (3, self.width, len(x)), x)[:2]
        for start, stop, x2, x1, v in self._gates(x, segments, tap, carry):
            x2_all[:, start:stop] = x2
            torch.mul(x1, v, out=u[:, start:stop])
        if self.ends_before("filter"):
            return
        self._mix(u, x2_all, segments, carry)
        for start, stop in self.tiles(segments):
            self._finish(x[start:stop], start, u[:, start:stop], tap)

    def _run_short(self, x: torch.Tensor, segments: Segments, tap: Tap, carry: Carry) -> None:
        """`hcs`: the inner filter reaches so little that the whole block goes tile by tile."""
        carried = self._carried("u", self.width, self.inner.reach, x)
        tails = carry.tails("u", self.width, self.inner.reach, x)
        for start, stop, x2, x1, v in self._gates(x, segments, tap, carry):
            u = next(carried)
            torch.mul(x1, v, out=u[:, self.inner.reach :])
            out = self.scratch.get("filtered u", x2.shape, x, torch.float32)
            y = self.inner(u, segments, start, out, tails)
            self._finish(x[start:stop], start, y.to(x.dtype).mul_(x2), tap)

    def _gates(
        self, x: torch.Tensor, segments: Segments, tap: Tap, carry: Carry
    ) -> Iterator[tuple[int, int, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Tile by tile: its first and last token, and x2, x1 and v, (D, t) each."""
        reach = self.short.reach
        carried = self._carried("z", 3 * self.width, reach, x)
        tails = carry.tails("z", 3 * self.width, reach, x)
        for (start, stop), z in zip(self.tiles(segments), carried, strict=True):
            normed = self.norm(self.block.pre_norm, x[start:stop])
            tap("pre_norm", start, normed)
            if self.ends_before("projections"):
                continue
            self._project(normed, z[:, reach:])
            tap("projections", start, z[:, reach:].t())
            if self.ends_before("filter"):
                continue
            out = self.scratch.get("filtered z", (len(z), stop - start), x, torch.float32)
            y = self.short(z, segments, start, out, tails).to(x.dtype)
            if self.short_bias is not None:
                y += self.short_bias[:, None]
            x2, x1, v = (y[rows] for rows in self.rows)
            yield start, stop, x2, x1, v

    def _carried(
        self, name: str, channels: int, reach: int, x: torch.Tensor
    ) -> Iterator[torch.Tensor]:
        """Tile by tile a buffer (C, reach + t), whose first columns are the last tile's last."""
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

    def _mix(self, u: torch.Tensor, x2: torch.Tensor, segments: Segments, carry: Carry) -> None:
        """The inner filter over all of u (D, T), in place, and the gate x2."""
        blocks = segments.blocks(u.device)
        tokens = blocks.count * blocks.size
        channels = channels_at_once(self.channel_elements, tokens, self.inner.channel_step)
        borders = self.inner.borders(u, carry)
        for first in range(0, self.width, channels):
            rows = slice(first, first + channels)
            values = blocks.split(u[rows].float())
            y = blocks.join(self.inner(values, blocks, first, self.scratch, borders))
            torch.mul(y.to(u.dtype), x2[rows], out=u[rows])

    def _finish(self, x: torch.Tensor, start: int, y: torch.Tensor, tap: Tap) -> None:
        tap("filter", start, y.t())
        if self.ends_before("out_filter_dense"):
            return
        mixed = self.scratch.linear("mixed", y.t(), self.block.out_filter_dense)
        tap("out_filter_dense", start, mixed)
        self.finish(x, start, mixed, tap)


class AttentionBlock(Block):
    """`mha`: rotary attention."""

    parts = ATTENTION_PARTS

    def __init__(self, block, last, tile, scratch, keeping: Keeping):
        super().__init__(block, last, tile, scratch)
        self.rotary, self.keeping = RotaryPositions(block.inner_mha_cls.rotary_emb), keeping

    def __call__(self, x: torch.Tensor, segments: Segments, tap: Tap, carry: Carry) -> None:
        """Run the block over the residual stream x (T, D), in place."""
        mha = self.block.inner_mha_cls
        qkv = self.scratch.get("sequence", (len(x), 3, mha.num_heads, mha.head_dim), x)
        place = torch.from_numpy(segments.place).to(x.device)
        for start, stop in self.tiles(segments):
            normed = self.norm(self.block.pre_norm, x[start:stop])
            tap("pre_norm", start, normed)
            if self.ends_before("inner_mha_cls.Wqkv"):
                continue
            tile = qkv[start:stop]
            linear(normed, mha.Wqkv, out=tile.flatten(1))
            rotate(tile[:, :2], *self.rotary(place[start:stop], x.dtype))
            # Vortex rotates in place: this is what its Wqkv gives, seen from outside.
            tap("inner_mha_cls.Wqkv", start, tile.flatten(1))
        if self.ends_before("inner_mha_cls.out_proj"):
            return
        context = attend(qkv, segments, mha.inner_attn, self.scratch, carry, self.keeping)
        context = context.flatten(1)  # (T, D)
        for start, stop in self.tiles(segments):
            mixed = self.scratch.linear("mixed", context[start:stop], mha.out_proj)
            tap("inner_mha_cls.out_proj", start, mixed)
            tap("inner_mha_cls", start, mixed)
            self.finish(x[start:stop], start, mixed, tap)
