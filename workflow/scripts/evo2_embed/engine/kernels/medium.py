"""The inner filter of `hcm` with its gate, as a banded Toeplitz matrix over blocks of tokens.

y[c, t] = x2[c, t] * (sum over k < K of u[c, t - k] * taps[group of c, k] + bias[c] * u[c, t]), the
sum in float32, within the segment of t, and rounded before the product.

u, x2 and y (D, T). A program takes a group of channels and 32 rows of a matrix product: a row is a
channel of a block of 64 tokens. Blocks start where segments do.
"""

import torch
import triton
import triton.language as tl

from evo2_embed.engine.kernels.launch import Work, launch, precision_of

ROWS = 32
SIZE = 64  # tokens per block


@triton.jit
def _medium_kernel(
    u,
    x2,
    taps,
    bias,
    before,
    starts,
    places,
    lengths,
    block_rows,
    out,
    channels,
    blocks,
    pitch,
    HISTORY: tl.constexpr,
    K: tl.constexpr,
    STEP: tl.constexpr,
    GROUP: tl.constexpr,
    ROWS: tl.constexpr,
    SIZE: tl.constexpr,
    PRECISION: tl.constexpr,
):
    # GROUP is STEP, the channels of a group, rounded up to a power of two.
    line = tl.arange(0, ROWS)
    block = tl.program_id(0) * (ROWS // GROUP) + line // GROUP
    used = (line % GROUP < STEP) & (block < blocks)
    first = tl.program_id(1) * STEP
    within = tl.minimum(line % GROUP, STEP - 1)  # channel in the group
    start = tl.load(starts + block, mask=used, other=0)
    place = tl.load(places + block, mask=used, other=0)  # of the block in its segment
    length = tl.load(lengths + block, mask=used, other=0)
    column = tl.arange(0, SIZE)
    # Offsets in a group fit 32 bits.
    base = first.to(tl.int64) * pitch
    at = within[:, None] * pitch + (start[:, None] + column[None, :])
    mask = used[:, None] & (column[None, :] < length[:, None])
    total = tl.load(u + base + at, mask=mask, other=0.0).to(tl.float32)
    total *= tl.load(bias + first + within)[:, None]
    group = taps + tl.program_id(1) * K
    for back in range((K + SIZE - 2) // SIZE + 1):
        inside = used[:, None] & (place >= back)[:, None]
        # Only the present block may be shorter than a block.
        inside &= column[None, :] < (length + back * SIZE)[:, None]
        value = tl.load(u + base + (at - back * SIZE), mask=inside, other=0.0)
        if HISTORY:
            # Position in the segment; what is before it is in the history.
            row = tl.load(block_rows + block, mask=used, other=-1)
            time = (place[:, None] - back) * SIZE + column[None, :]
            outside = used[:, None] & (row >= 0)[:, None] & (time < 0) & (time > -K)
            earlier = (row * channels + first + within).to(tl.int64)[:, None] * (K - 1)
            value += tl.load(before + earlier + (K - 1 + time), mask=outside, other=0.0)
        lag = column[None, :] + back * SIZE - column[:, None]
        matrix = tl.load(group + lag, mask=(lag >= 0) & (lag < K), other=0.0)
        total = tl.dot(value.to(tl.float32), matrix, total, input_precision=PRECISION)
    dtype: tl.constexpr = u.dtype.element_ty
    y = total.to(dtype).to(tl.float32)
    y *= tl.load(x2 + base + at, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + base + at, y.to(dtype), mask=mask)


def medium(
    u: torch.Tensor,
    x2: torch.Tensor,
    taps: torch.Tensor,
    bias: torch.Tensor,
    before: torch.Tensor | None,
    blocks: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """Fill y (D, T) from u and x2, all of one pitch.

    Parameters
    ----------
    taps : Tensor of float32, (groups, K)
        The first tap is for the present token.
    bias : Tensor of float32, (D,)
    before : Tensor or None, (P, D, K - 1)
        The u before the segments that continue a stretch.
    blocks : Tensor of int32, (5, N)
        `Segments.block_table`.
    """
    channels, count = out.shape
    groups, reach = len(taps), taps.shape[1]
    step = channels // groups
    group = triton.next_power_of_2(step)
    rows = max(ROWS, group)
    width = SIZE * ((reach + SIZE - 2) // SIZE + 1)  # tokens that a block depends on
    moved = 3 * channels * count * u.element_size()
    work = Work(
        moved + taps.nbytes + bias.nbytes + blocks.nbytes,
        2.0 * channels * blocks.shape[1] * SIZE * width,
    )
    launch(
        _medium_kernel,
        (triton.cdiv(blocks.shape[1] * group, rows), groups),
        work,
        u,
        x2,
        taps,
        bias,
        u if before is None else before,
        *blocks[:4],
        out,
        channels,
        blocks.shape[1],
        u.stride(0),
        HISTORY=before is not None,
        K=reach,
        STEP=step,
        GROUP=group,
        ROWS=rows,
        SIZE=SIZE,
        PRECISION=precision_of(u.dtype),
        num_warps=8,
    )
