"""The inner filter of `hcl` with its gate: a Toeplitz matrix within blocks, modes between them.

y[c, t] = x2[c, t] * (sum over k >= 0 of u[c, t - k] * h[c, k]), where h[c, k] is the sum over 16
modes n of residue[c, n] * exp(log_pole[c, n] * k), plus the bias at k = 0; the sum in float32,
within the segment of t, and rounded before the product.

u, x2 and y (D, T). A program takes a channel and all blocks of 64 tokens, 16 at once, in order:
  inside[b] = u[b] @ Toeplitz(h)                               (16, 64)
  leaving[b] = u[b] @ exp(log_pole * (63 - j))                 (16, 16 modes)
  entering[b] = sum over earlier blocks a of its segment of
      exp(log_pole * 64 * (b - 1 - a)) * leaving[a]            (16, 16 modes)
  y[b] = x2[b] * (inside[b] + entering[b] @ (residue * exp(log_pole * (i + 1))))
"""

import torch
import triton
import triton.language as tl

from evo2_embed.engine.kernels.launch import Work, launch, precision_of

BLOCKS = 16  # at once
SIZE = 64  # tokens per block
MODES = 16


@triton.jit
def _long_kernel(
    u,
    x2,
    taps,
    log_poles,
    residues,
    before,
    starts,
    places,
    lengths,
    block_rows,
    after_rows,
    after,
    out,
    channels,
    blocks,
    pitch,
    HISTORY: tl.constexpr,
    AFTER: tl.constexpr,
    BLOCKS: tl.constexpr,
    SIZE: tl.constexpr,
    MODES: tl.constexpr,
    PRECISION: tl.constexpr,
):
    channel = tl.program_id(0)
    mode, column, line = tl.arange(0, MODES), tl.arange(0, SIZE), tl.arange(0, BLOCKS)
    log_pole = tl.load(log_poles + channel * MODES + mode)
    residue = tl.load(residues + channel * MODES + mode)
    lag = column[None, :] - column[:, None]
    toeplitz = tl.load(taps + channel * SIZE + lag, mask=lag >= 0, other=0.0)
    leave = tl.exp(log_pole[None, :] * (SIZE - 1 - column[:, None]).to(tl.float32))
    enter = tl.exp(log_pole[:, None] * (column[None, :] + 1).to(tl.float32)) * residue[:, None]
    # From block `line` a to block `line` b of those at once.
    apart = line[:, None] - line[None, :]  # b - a
    steps = tl.maximum(apart - 1, 0).to(tl.float32) * SIZE
    decay = tl.exp(steps[:, :, None] * log_pole[None, None, :])
    since = tl.exp((line * SIZE).to(tl.float32)[:, None] * log_pole[None, :])
    carried = tl.full([MODES], 0.0, tl.float32)  # into the first block, if a segment goes on there
    base = channel.to(tl.int64) * pitch
    dtype: tl.constexpr = u.dtype.element_ty
    for first in range(0, blocks, BLOCKS):
        block = first + line
        used = block < blocks
        start = tl.load(starts + block, mask=used, other=0)
        place = tl.load(places + block, mask=used, other=0)
        length = tl.load(lengths + block, mask=used, other=0)
        at = base + (start[:, None] + column[None, :])
        mask = used[:, None] & (column[None, :] < length[:, None])
        value = tl.load(u + at, mask=mask, other=0.0).to(tl.float32)
        leaving = tl.dot(value, leave, input_precision=PRECISION)
        reached = (apart > 0) & (place[:, None] >= apart)
        parts = tl.where(reached[:, :, None], decay * leaving[None, :, :], 0.0)
        entering = tl.sum(parts, axis=1)
        goes_on = (place > line)[:, None]  # its segment begins before the first block
        entering += tl.where(goes_on, since * carried[None, :], 0.0)
        if AFTER:
            target = tl.load(after_rows + block, mask=used, other=-1)
            kept = after + (target.to(tl.int64) * channels + channel)[:, None] * MODES
            tl.store(kept + mode[None, :], entering, mask=(target >= 0)[:, None] & (mode >= 0))
        leaves = leaving + tl.exp(log_pole * SIZE)[None, :] * entering
        carried = tl.sum(tl.where((line == BLOCKS - 1)[:, None], leaves, 0.0), axis=0)
        if HISTORY:
            row = tl.load(block_rows + block, mask=used, other=-1)
            earlier = before + (row.to(tl.int64) * channels + channel)[:, None] * MODES
            earlier = tl.load(
                earlier + mode[None, :], mask=(row >= 0)[:, None] & (mode >= 0), other=0.0
            ).to(tl.float32)
            entering += tl.exp((place * SIZE).to(tl.float32)[:, None] * log_pole) * earlier
        total = tl.dot(value, toeplitz, input_precision=PRECISION)
        total = tl.dot(entering, enter, total, input_precision=PRECISION)
        y = total.to(dtype).to(tl.float32)
        y *= tl.load(x2 + at, mask=mask, other=0.0).to(tl.float32)
        tl.store(out + at, y.to(dtype), mask=mask)


def long(
    u: torch.Tensor,
    x2: torch.Tensor,
    taps: torch.Tensor,
    log_poles: torch.Tensor,
    residues: torch.Tensor,
    before: torch.Tensor | None,
    blocks: torch.Tensor,
    after: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """Fill y (D, T) from u and x2, all of one pitch.

    Parameters
    ----------
    taps : Tensor of float32, (D, 64)
        The first values of h, with the bias.
    log_poles, residues : Tensor of float32, (D, 16)
    before : Tensor of float64 or None, (P, D, 16)
        Modes before the segments that continue a stretch.
    blocks : Tensor of int32, (5, N)
        `Segments.block_table`.
    after : Tensor of float32, (number of such blocks, D, 16)
        Takes the modes with which each block is entered in which a state is kept; without the part
        that is from `before`.
    """
    channels, count = out.shape
    moved = 3 * channels * count * u.element_size() + after.nbytes
    per_token = SIZE + 2 * MODES
    work = Work(
        moved + taps.nbytes + log_poles.nbytes + residues.nbytes + blocks.nbytes,
        2.0 * channels * triton.cdiv(blocks.shape[1], BLOCKS) * BLOCKS * SIZE * per_token,
    )
    launch(
        _long_kernel,
        (channels,),
        work,
        u,
        x2,
        taps,
        log_poles,
        residues,
        u if before is None else before,
        *blocks,
        after if len(after) else u,
        out,
        channels,
        blocks.shape[1],
        u.stride(0),
        HISTORY=before is not None,
        AFTER=len(after) > 0,
        BLOCKS=BLOCKS,
        SIZE=SIZE,
        MODES=MODES,
        PRECISION=precision_of(u.dtype),
        num_warps=8,
    )
