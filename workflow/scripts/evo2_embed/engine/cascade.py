"""What vortex's module of a Hyena cascade says about its filter and its projections."""

import numpy as np
import torch

from evo2_embed.engine.filters import MediumFilter, ShortFilter
from evo2_embed.engine.footprint import MEDIUM_TAPS
from evo2_embed.engine.long_filter import LongFilter


def inner_filter(cascade: torch.nn.Module, width: int) -> ShortFilter | MediumFilter | LongFilter:
    """The filter inside a cascade of this width."""
    if cascade.h is None:
        return LongFilter(cascade.log_poles, cascade.residues, cascade.D)
    # With its Fourier transform, vortex's first tap is for the present token; else its last one.
    if cascade.fir_inner_filter_length >= MEDIUM_TAPS:
        return MediumFilter(cascade.h, cascade.D)
    return ShortFilter(cascade.h, width)


def projection_rows(cascade: torch.nn.Module, width: int) -> list[slice | torch.Tensor]:
    """The rows of the projections (3 D, t) that are x2, x1 and v: a slice each if possible."""
    rows = np.arange(3 * width)
    if cascade.config.interleave:
        rows = np.concatenate([rows[first::3] for first in range(3)])
    if cascade.column_split_hyena:
        heads = rows.reshape(cascade.num_attention_heads, 3, -1)
        x2, x1, v = (heads[:, part].reshape(-1) for part in range(3))
    else:
        x2, x1, v = rows.reshape(3, width)
    if cascade.hyena_flip_x1x2:
        x1, x2 = x2, x1
    return [_as_slice(part) for part in (x2, x1, v)]


def _as_slice(rows: np.ndarray) -> slice | torch.Tensor:
    steps = np.diff(rows)
    if (steps == steps[:1]).all():
        step = int(steps[0]) if len(steps) else 1
        return slice(int(rows[0]), int(rows[-1]) + 1, step)
    return torch.from_numpy(rows)
