"""The filter of 3 taps after the projections, their order, and the gate of the inner filter.

y[c, t] = sum over k < 3 of z[c, t - k] * taps[c, 2 - k], within the segment of t, rounded to the
model's type, plus the bias. x2, x1 and v are three sets of rows of y; u = x1 * v.

z (3 D, t), x2 and u (D, t): one program per 4 channels and 256 tokens.
"""

import torch
import triton
import triton.language as tl

from evo2_embed.engine.kernels.launch import Work, launch

TAPS = 3
CHANNELS, TOKENS = 4, 256  # of a program


@triton.jit
def _rounded_filter(
    z,
    taps,
    bias,
    before,
    line,
    time,
    position,
    row,
    mask,
    lines,
    z_pitch,
    BIAS: tl.constexpr,
    HISTORY: tl.constexpr,
    K: tl.constexpr,
):
    """Rows `line` (C,) of y for the tokens `time` (t,), in float32 but rounded."""
    at = z + line[:, None].to(tl.int64) * z_pitch + time[None, :]
    total = tl.full([line.shape[0], time.shape[0]], 0.0, tl.float32)
    for k in tl.static_range(K):
        inside = mask & (position >= k)[None, :]
        value = tl.load(at - k, mask=inside, other=0.0)
        if HISTORY:
            # The input k tokens back is in the history if the segment begins after it.
            column = K - 1 - k + position
            earlier = before + (row[None, :].to(tl.int64) * lines + line[:, None]) * (K - 1)
            outside = mask & ((position < k) & (row >= 0))[None, :]
            value += tl.load(earlier + column[None, :], mask=outside, other=0.0)
        total += value.to(tl.float32) * tl.load(taps + line * K + (K - 1 - k))[:, None]
    dtype: tl.constexpr = z.dtype.element_ty
    total = total.to(dtype).to(tl.float32)
    if BIAS:
        total = (total + tl.load(bias + line).to(tl.float32)[:, None]).to(dtype).to(tl.float32)
    return total


@triton.jit
def _gate_kernel(
    z,
    taps,
    bias,
    rows,
    before,
    positions,
    token_rows,
    x2_out,
    u_out,
    channels,
    tokens,
    z_pitch,
    out_pitch,
    BIAS: tl.constexpr,
    HISTORY: tl.constexpr,
    K: tl.constexpr,
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
    x2 = _rounded_filter(
        z, taps, bias, before, x2_line, time, position, row, mask, lines, z_pitch, BIAS, HISTORY, K
    )
    x1 = _rounded_filter(
        z, taps, bias, before, x1_line, time, position, row, mask, lines, z_pitch, BIAS, HISTORY, K
    )
    v = _rounded_filter(
        z, taps, bias, before, v_line, time, position, row, mask, lines, z_pitch, BIAS, HISTORY, K
    )
    dtype: tl.constexpr = z.dtype.element_ty
    at = channel[:, None].to(tl.int64) * out_pitch + time[None, :]
    tl.store(x2_out + at, x2.to(dtype), mask=mask)
    tl.store(u_out + at, (x1 * v).to(dtype), mask=mask)


def gate(
    z: torch.Tensor,
    taps: torch.Tensor,
    bias: torch.Tensor | None,
    rows: torch.Tensor,
    before: torch.Tensor | None,
    tokens: torch.Tensor,
    x2: torch.Tensor,
    u: torch.Tensor,
) -> None:
    """Fill x2 and u (D, t) from projections.

    Parameters
    ----------
    z : Tensor, (3 D, t)
        A view: the two tokens before are to its left in memory.
    taps : Tensor of float32, (3 D, 3)
    bias : Tensor or None, (3 D,)
    rows : Tensor of int32, (3, D)
        The rows of z that are x2, x1 and v.
    before : Tensor or None, (P, 3 D, 2)
        Inputs before the segments that continue a stretch.
    tokens : Tensor of int32, (2, t)
        `Segments.tokens`, of these tokens.
    """
    channels, count = u.shape
    size = z.element_size()
    work = Work(5 * channels * count * size + rows.nbytes + taps.nbytes + tokens.nbytes)
    launch(
        _gate_kernel,
        (triton.cdiv(count, TOKENS), triton.cdiv(channels, CHANNELS)),
        work,
        z,
        taps,
        z if bias is None else bias,
        rows,
        z if before is None else before,
        tokens[0],
        tokens[1],
        x2,
        u,
        channels,
        count,
        z.stride(0),
        u.stride(0),
        BIAS=bias is not None,
        HISTORY=before is not None,
        K=TAPS,
        C=CHANNELS,
        T=TOKENS,
    )
