"""Residual and root-mean-square norm: x += added; out = x / (|x| / sqrt(D) + eps) * scale.

|x| is summed in float32, and every result is rounded to the model's type as in the module: the
sum x + added, |x|, |x| / sqrt(D), that plus eps, the quotient, and the product with the scale.

x, added and out (t, D): one program per token, or several tokens of a narrow model.
"""

import torch
import triton
import triton.language as tl

from evo2_embed.engine.kernels.launch import Work, launch

ELEMENTS = 4096  # of a program, at least one token


@triton.jit
def _norm_kernel(
    x,
    added,
    scale,
    out,
    tokens,
    width,
    root,
    eps,
    ADD: tl.constexpr,
    T: tl.constexpr,
    D: tl.constexpr,
):
    dtype: tl.constexpr = x.dtype.element_ty
    column = tl.arange(0, D)
    time = tl.program_id(0) * T + tl.arange(0, T)
    at = time[:, None].to(tl.int64) * width + column[None, :]
    mask = (time < tokens)[:, None] & (column < width)[None, :]
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    if ADD:
        value += tl.load(added + at, mask=mask, other=0.0).to(tl.float32)
        value = value.to(dtype).to(tl.float32)
        tl.store(x + at, value.to(dtype), mask=mask)
    length = tl.sqrt_rn(tl.sum(value * value, axis=1)).to(dtype).to(tl.float32)
    length = (length * root).to(dtype).to(tl.float32)
    length = (length + eps).to(dtype).to(tl.float32)
    length = tl.broadcast_to(length[:, None], [T, D])
    value = tl.div_rn(value, length).to(dtype).to(tl.float32)
    value *= tl.load(scale + column, mask=column < width, other=0.0).to(tl.float32)[None, :]
    tl.store(out + at, value.to(dtype), mask=mask)


def add_norm(
    x: torch.Tensor,
    added: torch.Tensor | None,
    scale: torch.Tensor,
    eps: float,
    out: torch.Tensor,
) -> torch.Tensor:
    """Add `added` to x (t, D) in place, if there is one, and fill `out` with the norm of x.

    All are contiguous.
    """
    tokens, width = x.shape
    block = triton.next_power_of_2(width)
    rows = max(1, ELEMENTS // block)
    moved = (2 if added is None else 4) * x.nbytes
    launch(
        _norm_kernel,
        (triton.cdiv(tokens, rows),),
        Work(moved + scale.nbytes),
        x,
        x if added is None else added,
        scale,
        out,
        tokens,
        width,
        width**-0.5,
        eps,
        ADD=added is not None,
        T=rows,
        D=block,
        num_warps=8,
    )
    return out
