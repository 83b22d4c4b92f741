"""Attention with rotary positions over the segments of a pack."""

import torch
import torch.nn.functional as F

from evo2_embed.engine.kv_cache import Keeping, KeysValues
from evo2_embed.engine.scratch import Scratch
from evo2_embed.engine.segments import Segments
from evo2_embed.engine.states import Carry

KV = "keys and values"  # their name among the states of a block


class RotaryPositions:
    """Cosines and sines of rotary positions, as the block's own embedding of them has them.

    They are made for the tokens at hand, where the module keeps a table of all that are before,
    too. Its scaling and its rounding to the type of the model are kept.
    """

    def __init__(self, rotary: torch.nn.Module):
        self.scaling = getattr(rotary, "_linear_scaling_factor", 1.0)
        self.frequencies = rotary.inv_freq  # (head_dim / 2,)
        if rotary.pos_idx_in_fp32 and self.frequencies.dtype != torch.float32:
            self.frequencies = rotary._compute_inv_freq(device=self.frequencies.device)

    def __call__(
        self, place: torch.Tensor, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine, (t, 1, 1, head_dim / 2) each in float32, of places (t,) in stretches."""
        place = place.to(self.frequencies.dtype) / self.scaling
        angle = torch.outer(place, self.frequencies)[:, None, None]
        return angle.cos().to(dtype).float(), angle.sin().to(dtype).float()


def rotate(qk: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Rotate queries and keys in place.

    Parameters
    ----------
    qk : Tensor, (t, 2, heads, head_dim)
    cos, sin : Tensor, (t, 1, 1, head_dim / 2)
    """
    first, second = qk.float().chunk(2, -1)
    rotated = torch.cat(
        [(first * cos).addcmul_(second, sin, value=-1), (second * cos).addcmul_(first, sin)], -1
    )
    qk.copy_(rotated)


def attend(
    qkv: torch.Tensor,
    segments: Segments,
    attention: torch.nn.Module,
    scratch: Scratch,
    carry: Carry,
    keeping: Keeping,
) -> torch.Tensor:
    """Causal attention of each segment to itself, and to what is before it in its stretch.

    Parameters
    ----------
    qkv : Tensor, (T, 3, heads, head_dim)
        Rotated.
    attention : Module
        Vortex's inner attention: its flash kernel for segments of any length, where it is in use.
    carry : Carry
        Keys and values of earlier pieces; takes those that later ones need.
    keeping : Keeping
        How it keeps them.

    Returns
    -------
    Tensor, (T, heads, head_dim)
    """
    _keep(qkv, segments, carry, keeping)
    if not len(segments.continued) and hasattr(attention, "window_size"):
        ends = torch.from_numpy(segments.ends).to(qkv.device, torch.int32)
        return attention(qkv, cu_seqlens=F.pad(ends, (1, 0)), max_seqlen=segments.longest)
    if not len(segments.continued) and segments.uniform:
        return _causal(qkv.view(-1, segments.longest, *qkv.shape[1:])).flatten(0, 1)
    out = scratch.get("context", (len(qkv), *qkv.shape[2:]), qkv)
    _attend_in_batches(qkv, segments, out)
    for segment, state in zip(segments.continued, carry.before, strict=True):
        span = slice(int(segments.starts[segment]), int(segments.ends[segment]))
        out[span] = _attend_to_past(qkv[span], state.get(KV), int(segments.before[segment]))
    return out


def _keep(qkv: torch.Tensor, segments: Segments, carry: Carry, keeping: Keeping) -> None:
    """Keep the keys and values of the pieces whose stretches go on."""
    for segment, state in zip(segments.going_on, carry.after, strict=True):
        row = segments.row_of(segment)
        if row is None:
            state[KV] = KeysValues(int(segments.stretch_tokens[segment]), qkv, keeping)
        else:
            state[KV] = carry.before[row][KV]
        span = slice(int(segments.starts[segment]), int(segments.ends[segment]))
        state[KV].put(int(segments.before[segment]), qkv[span, 1:])


def _attend_to_past(qkv: torch.Tensor, past: KeysValues | None, tokens: int) -> torch.Tensor:
    """Attention of a piece (n, 3, heads, head_dim) to itself and to the `tokens` before it.

    Every part of the past is attended to on its own; the parts are put together by the logarithms
    of their sums of exponentials, so no mask and no matrix of scores is ever made.

    Returns
    -------
    Tensor of float32, (n, heads, head_dim)

    Source: Rabe and Staats 2021, Self-attention Does Not Need O(n^2) Memory.
    """
    q, k, v = qkv.permute(1, 2, 0, 3)[:, None]  # (1, heads, n, head_dim) each
    out, total = _partial(q, k, v, causal=True)
    out = out.float()
    for keys, values in past.tiles(tokens) if past is not None else ():
        more, logarithm = _partial(q, keys, values, causal=False)
        both = torch.logaddexp(total, logarithm)  # (1, heads, n)
        out *= (total - both).exp()[..., None]
        out.addcmul_(more.float(), (logarithm - both).exp()[..., None])
        total = both
    return out[0].transpose(0, 1)


def _partial(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention to some of the keys, and the logarithm of the sum of exponentials of the scores,
    (1, heads, n), by the kernels behind `scaled_dot_product_attention`, which does not tell it."""
    kernels = torch.ops.aten
    if not q.is_cuda:
        return kernels._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal)
    if q.dtype == torch.float32:
        found = kernels._scaled_dot_product_efficient_attention(q, k, v, None, True, 0.0, causal)
        return found[0], found[1][..., : q.shape[2]]
    found = kernels._scaled_dot_product_flash_attention(q, k, v, 0.0, causal)
    return found[0], found[1]


def _attend_in_batches(qkv: torch.Tensor, segments: Segments, out: torch.Tensor) -> None:
    """Attention of the segments that begin a stretch, in batches of like length."""
    for members in segments.batches(segments.fresh):
        lengths, starts = segments.lengths[members], segments.starts[members]
        longest = int(lengths.max())
        if segments.is_batch(members):
            span = slice(int(starts[0]), int(starts[0]) + len(members) * longest)
            batch = qkv[span].view(len(members), longest, *qkv.shape[1:])
            out[span] = _causal(batch).flatten(0, 1)
            continue
        # What fills a row up repeats the segment's last token; no token of its segment sees it.
        place = torch.arange(longest)
        lengths = torch.from_numpy(lengths)[:, None]
        rows = torch.from_numpy(starts)[:, None] + torch.minimum(place, lengths - 1)
        kept = (place < lengths).to(qkv.device)
        rows = rows.to(qkv.device)
        out[rows[kept]] = _causal(qkv[rows])[kept]


def _causal(qkv: torch.Tensor) -> torch.Tensor:
    """(B, L, 3, heads, head_dim) to (B, L, heads, head_dim)."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, L, head_dim) each
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
