"""The filters and gates of `hcs` in one: projections to y.

u = x1 * v as in `gate`; y[c, t] = x2[c, t] * (sum over k < 7 of u[c, t - k] * taps[c, 6 - k]), the
sum in float32, within the segment of t, and rounded before the product.

z (3 D, t), y (D, t): one program per 4 channels and 128 tokens. u is computed again for each tap,
from inputs that are in cache, and never stored.
"""

import torch
import triton
import triton.language as tl

from evo2_embed.engine.kernels.gate import CHANNELS, TAPS, _rounded_filter
from evo2_embed.engine.kernels.launch import Work, launch

MOST_TAPS = 16  # of the inner filter
# Tokens of a program. With inputs from before the segments, it needs many registers.
TOKENS, TOKENS_WITH_HISTORY = 128, 32


@triton.jit
def _short_kernel(
    z,
    taps,
    bias,
    rows,
    before,
    inner_taps,
    inner_before,
    positions,
    token_rows,
    out,
    channels,
    tokens,
    z_pitch,
    out_pitch,
    BIAS: tl.constexpr,
    HISTORY: tl.constexpr,
    K: tl.constexpr,
    INNER: tl.constexpr,
    C: tl.constexpr,
    T: tl.constexpr,
):
    channel = tl.program_id(1) * C + tl.arange(0, C)
    time = tl.program_id(0) * T + tl.arange(0, T)
    mask = (channel < channels)[:, None] & (time < tokens)[None, :]
    channel = tl.minimum(channel, channels - 1)
    position = tl.load(positions + time, mask=time < tokens, other=0)
    row = tl.load(token_rows + time, mask=time < tokens, other=-1)
    lines = 3 * channels
    x2_line = tl.load(rows + channel)
    x1_line = tl.load(rows + channels + channel)
    v_line = tl.load(rows + 2 * channels + channel)
    dtype: tl.constexpr = z.dtype.element_ty
    total = tl.full([C, T], 0.0, tl.float32)
    for k in tl.static_range(INNER):
        at, place = time - k, position - k
        inside = mask & (place >= 0)[None, :]
        x1 = _rounded_filter(
            z, taps, bias, before, x1_line, at, place, row, inside, lines, z_pitch, BIAS, HISTORY, K
        )
        v = _rounded_filter(
            z, taps, bias, before, v_line, at, place, row, inside, lines, z_pitch, BIAS, HISTORY, K
        )
        u = tl.where(inside, (x1 * v).to(dtype).to(tl.float32), 0.0)
        if HISTORY:
            column = INNER - 1 + place
            earlier = row[None, :].to(tl.int64) * channels + channel[:, None]
            outside = mask & ((place < 0) & (row >= 0))[None, :]
            earlier = inner_before + earlier * (INNER - 1) + column[None, :]
            u += tl.load(earlier, mask=outside, other=0.0).to(tl.float32)
        total += u * tl.load(inner_taps + channel * INNER + (INNER - 1 - k))[:, None]
    x2 = _rounded_filter(
        z, taps, bias, before, x2_line, time, position, row, mask, lines, z_pitch, BIAS, HISTORY, K
    )
    y = total.to(dtype).to(tl.float32) * x2
    at = channel[:, None].to(tl.int64) * out_pitch + time[None, :]
    tl.store(out + at, y.to(dtype), mask=mask)


def short(
    z: torch.Tensor,
    taps: torch.Tensor,
    bias: torch.Tensor | None,
    rows: torch.Tensor,
    before: torch.Tensor | None,
    inner_taps: torch.Tensor,
    inner_before: torch.Tensor | None,
    tokens: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """Fill y (D, t) from projections.

    Parameters
    ----------
    z : Tensor, (3 D, t)
        A view: the tokens before, 2 and one per further tap, are to its left in memory.
    inner_taps : Tensor of float32, (D, 7)
    inner_before : Tensor or None, (P, D, 6)
        The u before the segments that continue a stretch.

    The others are as for `gate`.
    """
    channels, count = out.shape
    moved = 4 * channels * count * z.element_size()
    at_once = TOKENS if before is None else TOKENS_WITH_HISTORY
    work = Work(moved + rows.nbytes + taps.nbytes + inner_taps.nbytes + tokens.nbytes)
    launch(
        _short_kernel,
        (triton.cdiv(count, at_once), triton.cdiv(channels, CHANNELS)),
        work,
        z,
        taps,
        z if bias is None else bias,
        rows,
        z if before is None else before,
        inner_taps,
        z if inner_before is None else inner_before,
        tokens[0],
        tokens[1],
        out,
        channels,
        count,
        z.stride(0),
        out.stride(0),
        BIAS=bias is not None,
        HISTORY=before is not None,
        K=TAPS,
        INNER=inner_taps.shape[1],
        C=CHANNELS,
        T=at_once,
    )
