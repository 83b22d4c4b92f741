"""The filters and gates of a Hyena block with Triton kernels; see `engine.mixing`."""

import torch

from evo2_embed.engine.filters import MediumFilter, ShortFilter
from evo2_embed.engine.footprint import MEDIUM_TAPS, prefix_of
from evo2_embed.engine.kernels.gate import TAPS, gate
from evo2_embed.engine.kernels.long import MODES, SIZE, long
from evo2_embed.engine.kernels.medium import medium
from evo2_embed.engine.kernels.short import MOST_TAPS, short
from evo2_embed.engine.mixing import Mixer, Tiles
from evo2_embed.engine.scratch import pitch_of
from evo2_embed.engine.segments import Segments
from evo2_embed.engine.states import BlockState, FilterHistory


class TritonMixer(Mixer):
    """As `Mixer`, for filters for which `supports` is true."""

    def __init__(self, cascade, width, scratch, channel_elements):
        super().__init__(cascade, width, scratch, channel_elements)
        device, order = self.short.taps.device, torch.arange(3 * width)
        order = torch.stack([order[rows] for rows in self.rows])  # (3, D)
        self.order = order.to(device, torch.int32)
        if isinstance(self.inner, ShortFilter):
            self.prefix = prefix_of(self.short.reach + self.inner.reach)
        elif not isinstance(self.inner, MediumFilter):
            self.taps = self.inner.first_taps(self.inner.powers(SIZE))

    @staticmethod
    def supports(cascade: torch.nn.Module) -> bool:
        """Whether there are kernels for the filters of a cascade."""
        inner = MOST_TAPS if cascade.h is None else cascade.h.shape[-1]
        return (
            cascade.short_filter_weight.shape[-1] == TAPS
            and (cascade.h is not None or cascade.residues.shape[1] == MODES)
            and (inner <= MOST_TAPS or inner >= MEDIUM_TAPS)
        )

    def __call__(
        self, tiles: Tiles, x: torch.Tensor, segments: Segments, state: BlockState
    ) -> Tiles:
        """See `Mixer`."""
        history = state.history("z", 3 * self.width, self.short.reach, x)
        if isinstance(self.inner, ShortFilter):
            yield from self._filter_tiles(tiles, x, segments, state, history)
            return
        # A buffer that the attention uses for queries, keys and values.
        shape = (3, self.width, pitch_of(len(x)))
        x2, u, y = self.scratch.get("sequence", shape, x)[..., : len(x)]  # (D, T) each
        spans = []
        for start, stop, z in tiles:
            history.keep(z[:, self.prefix - self.short.reach :], start - self.short.reach)
            values = z[:, self.prefix :]
            self._gate(values, start, segments, history, x2[:, start:stop], u[:, start:stop])
            spans.append((start, stop))
        self._mix(u, x2, segments, state, y)
        for start, stop in spans:
            yield start, stop, y[:, start:stop]

    def _filter_tiles(self, tiles, x, segments, state, history) -> Tiles:
        """`hcs`: tile by tile."""
        inputs = state.history("u", self.width, self.inner.reach, x)
        for start, stop, z in tiles:
            history.keep(z[:, self.prefix - self.short.reach :], start - self.short.reach)
            y = self.scratch.matrix("filtered u", (self.width, stop - start), x)
            short(
                z[:, self.prefix :],
                self.short.taps,
                self.short_bias,
                self.order,
                history.before,
                self.inner.taps,
                inputs.before,
                segments.tokens(x.device)[:, start:stop],
                y,
            )
            for end, length in zip(
                segments.kept_ends.tolist(), segments.kept_lengths.tolist(), strict=True
            ):
                if start < end <= stop:
                    # The kernel does not store u; these few are computed again.
                    first = end - min(self.inner.reach, length)
                    u = x.new_empty(self.width, end - first)
                    values = z[:, self.prefix + first - start : self.prefix + end - start]
                    self._gate(values, first, segments, history, torch.empty_like(u), u)
                    inputs.keep(u, first)
            yield start, stop, y

    def _gate(
        self,
        z: torch.Tensor,
        first: int,
        segments: Segments,
        history: FilterHistory,
        x2: torch.Tensor,
        u: torch.Tensor,
    ) -> None:
        """Fill x2 and u (D, n) from the projections (3 D, n) of the tokens from `first` on."""
        tokens = segments.tokens(z.device)[:, first : first + u.shape[1]]
        gate(z, self.short.taps, self.short_bias, self.order, history.before, tokens, x2, u)

    def _mix(self, u, x2, segments, state, y) -> None:
        """Fill y (D, T) from u and x2."""
        blocks, borders = segments.block_table(u.device), self.inner.borders(u, state)
        if isinstance(self.inner, MediumFilter):
            bias = self.inner.bias.flatten()
            medium(u, x2, self.inner.taps, bias, borders.before, blocks, y)
            return
        log_poles, residues = self.inner.log_poles[..., 0], self.inner.residues[..., 0]
        rows = segments.kept_blocks
        count = int(rows.max(initial=-1)) + 1
        entered = u.new_empty(count, *residues.shape, dtype=torch.float32)
        long(u, x2, self.taps, log_poles, residues, borders.before, blocks, entered, y)
        channels = slice(0, self.width)
        for row, end in enumerate(segments.kept_ends.tolist()):
            tokens = (int(segments.kept_lengths[row]) - 1) % SIZE + 1
            values = u[:, end - tokens : end].float()
            self.inner.leave(values, entered[rows[row]], channels, row, segments, borders)
