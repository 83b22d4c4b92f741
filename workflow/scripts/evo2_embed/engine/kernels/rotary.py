"""Rotary positions in place: (a, b) becomes (a cos - b sin, b cos + a sin), in float32.

a and b are the halves of a head. One program per 16 tokens and 4 heads of the queries and keys.
"""

import torch
import triton
import triton.language as tl

from evo2_embed.engine.kernels.launch import Work, launch

TOKENS, HEADS = 16, 4  # of a program


@triton.jit
def _rotary_kernel(
    qk,
    cosine,
    sine,
    tokens,
    heads,
    pitch,
    half,
    T: tl.constexpr,
    H: tl.constexpr,
    HALF: tl.constexpr,
):
    time = tl.program_id(0) * T + tl.arange(0, T)
    head = tl.program_id(1) * H + tl.arange(0, H)
    column = tl.arange(0, HALF)
    angle = time[:, None, None] * half + column[None, None, :]
    inside = (time < tokens)[:, None, None] & (column < half)[None, None, :]
    cos = tl.load(cosine + angle, mask=inside, other=0.0)
    sin = tl.load(sine + angle, mask=inside, other=0.0)
    at = qk + time[:, None, None].to(tl.int64) * pitch + head[None, :, None] * (2 * half)
    at += column[None, None, :]
    mask = inside & (head < heads)[None, :, None]
    first = tl.load(at, mask=mask, other=0.0).to(tl.float32)
    second = tl.load(at + half, mask=mask, other=0.0).to(tl.float32)
    dtype: tl.constexpr = qk.dtype.element_ty
    tl.store(at, (first * cos - second * sin).to(dtype), mask=mask)
    tl.store(at + half, (second * cos + first * sin).to(dtype), mask=mask)


def rotate(qk: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Rotate queries and keys in place.

    Parameters
    ----------
    qk : Tensor, (t, 2, heads, head_dim)
        The heads of a token are contiguous.
    cos, sin : Tensor of float32, (t, 1, 1, head_dim / 2)
    """
    tokens, _, heads, size = qk.shape
    work = Work(2 * 2 * tokens * heads * size * qk.element_size() + cos.nbytes + sin.nbytes)
    launch(
        _rotary_kernel,
        (triton.cdiv(tokens, TOKENS), triton.cdiv(2 * heads, HEADS)),
        work,
        qk,
        cos.contiguous(),
        sin.contiguous(),
        tokens,
        2 * heads,
        qk.stride(0),
        size // 2,
        T=TOKENS,
        H=HEADS,
        HALF=triton.next_power_of_2(size // 2),
    )
