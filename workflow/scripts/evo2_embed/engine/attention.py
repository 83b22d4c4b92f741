"""Attention with rotary positions over the segments of a pack."""

import numpy as np
import torch
import torch.nn.functional as F

from evo2_embed.engine.footprint import KVCacheOptions
from evo2_embed.engine.kv_cache import KVCache
from evo2_embed.engine.scratch import Scratch
from evo2_embed.engine.segments import Segments, upload
from evo2_embed.engine.states import BlockState

KV = "kv cache"  # its name in the state of a block


class RotaryPositions:
    """Cosines and sines of rotary positions, computed as the block's own rotary embedding does.

    That module keeps a table from position 0 on; here only the positions of the tile are computed.
    Its scaling and its rounding to the model's type are the same.
    """

    def __init__(self, rotary: torch.nn.Module):
        self.scaling = getattr(rotary, "_linear_scaling_factor", 1.0)
        self.frequencies = rotary.inv_freq  # (head_dim / 2,)
        if rotary.pos_idx_in_fp32 and self.frequencies.dtype != torch.float32:
            self.frequencies = rotary._compute_inv_freq(device=self.frequencies.device)

    def __call__(
        self, position: torch.Tensor, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine of positions (t,) in stretches: float32, (t, 1, 1, head_dim / 2) each."""
        position = position.to(self.frequencies.dtype) / self.scaling
        angle = torch.outer(position, self.frequencies)[:, None, None]
        return angle.cos().to(dtype).float(), angle.sin().to(dtype).float()


def rotate(qk: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> None:
    """Rotate queries and keys in place.

    Parameters
    ----------
    qk : Tensor, (t, 2, heads, head_dim)
    cos, sin : Tensor, (t, 1, 1, head_dim / 2)
    """
    first, second = qk.float().chunk(2, -1)  # (t, 2, heads, head_dim / 2) each
    rotated = torch.cat(
        [(first * cos).addcmul_(second, sin, value=-1), (second * cos).addcmul_(first, sin)], -1
    )
    qk.copy_(rotated)


def attend(
    qkv: torch.Tensor,
    segments: Segments,
    attention: torch.nn.Module,
    scratch: Scratch,
    state: BlockState,
    options: KVCacheOptions,
) -> torch.Tensor:
    """Causal attention of each segment to itself and to the earlier tokens of its stretch, which
    are, for a fork, those of its parent up to the fork point.

    Parameters
    ----------
    qkv : Tensor, (T, 3, heads, head_dim)
        Queries, keys and values; queries and keys are rotated.
    attention : Module
        Vortex's inner attention. Its flash kernel, if it is in use, takes segments of any length.
    state : BlockState
        Has the KV caches of earlier segments; takes those that later segments need.
    options : KVCacheOptions

    Returns
    -------
    Tensor, (T, heads, head_dim)
    """
    _fill_caches(qkv, segments, state, options)
    if not len(segments.continued):
        return _attend_to_own(qkv, segments, attention, scratch)
    out = scratch.get("context", (len(qkv), *qkv.shape[2:]), qkv)  # (T, heads, head_dim)
    _attend_in_batches(qkv, segments, out)
    for segment, before in zip(segments.continued, state.before, strict=True):
        span = slice(int(segments.starts[segment]), int(segments.ends[segment]))
        out[span] = _attend_with_cache(qkv[span], before.get(KV), int(segments.offset[segment]))
    return out


def _attend_to_own(
    qkv: torch.Tensor, segments: Segments, attention: torch.nn.Module, scratch: Scratch
) -> torch.Tensor:
    """Attention of segments that all begin a stretch: (T, heads, head_dim)."""
    if hasattr(attention, "window_size"):
        edges = segments.edges(qkv.device)
        return attention(qkv, cu_seqlens=edges, max_seqlen=segments.longest)
    if segments.uniform:
        # (T, ...) is a view of (S, length, ...)
        return _causal(qkv.view(-1, segments.longest, *qkv.shape[1:])).flatten(0, 1)
    if _has_varlen(qkv):
        return _varlen(qkv, segments.edges(qkv.device), segments.longest)
    out = scratch.get("context", (len(qkv), *qkv.shape[2:]), qkv)
    _attend_in_batches(qkv, segments, out)
    return out


def _has_varlen(qkv: torch.Tensor) -> bool:
    """Whether PyTorch has a kernel for segments of different lengths."""
    return qkv.is_cuda and qkv.dtype in (torch.bfloat16, torch.float16)


def _varlen(qkv: torch.Tensor, edges: torch.Tensor, longest: int) -> torch.Tensor:
    """Causal attention of segments of any length, by PyTorch's own flash kernel.

    Parameters
    ----------
    qkv : Tensor of bfloat16 or float16, (T, 3, heads, head_dim)
    edges : Tensor of int32, (S + 1,)
        Segment s has the tokens `edges[s]` to `edges[s + 1]`.
    longest : int
        Tokens of the longest segment.

    Returns
    -------
    Tensor, (T, heads, head_dim)
    """
    # The public functions take nested tensors, or are not in all versions of torch.
    kernel = torch.ops.aten._flash_attention_forward
    return kernel(*qkv.unbind(1), edges, edges, longest, longest, 0.0, True, False)[0]


def _fill_caches(
    qkv: torch.Tensor, segments: Segments, state: BlockState, options: KVCacheOptions
) -> None:
    """Store the keys and values that later packs need: the states of a segment share a cache."""
    for segment in np.unique(segments.kept).tolist():
        start, offset = int(segments.starts[segment]), int(segments.offset[segment])
        row, until = segments.row_of(segment), segments.cached_until(segment)
        before = None if row is None else state.before[row][KV]
        if row is None or segments.parent[segment] >= 0:
            cache = KVCache(until - offset, qkv, options, before, offset)
        else:
            cache = before
        tokens = min(int(segments.lengths[segment]), until - offset)
        cache.put(offset, qkv[start : start + tokens, 1:])
        for kept in np.flatnonzero(segments.kept == segment):
            state.after[kept][KV] = cache


def _attend_with_cache(qkv: torch.Tensor, cache: KVCache | None, tokens: int) -> torch.Tensor:
    """Attention of a segment (n, 3, heads, head_dim) to itself and to `tokens` tokens in its cache.

    Attention to the segment and to each tile of the cache is computed separately and combined by
    log-sum-exp, so there is neither a mask nor a matrix of scores.

    Returns
    -------
    Tensor of float32, (n, heads, head_dim)

    Source: Rabe and Staats 2021, Self-attention Does Not Need O(n^2) Memory.
    """
    q, k, v = qkv.permute(1, 2, 0, 3)[:, None]  # (1, heads, n, head_dim) each
    out, total = _partial(q, k, v, causal=True)
    out = out.float()
    for keys, values in cache.tiles(tokens) if cache is not None else ():
        more, logsumexp = _partial(q, keys, values, causal=False)
        both = torch.logaddexp(total, logsumexp)  # (1, heads, n)
        out *= (total - both).exp()[..., None]
        out.addcmul_(more.float(), (logsumexp - both).exp()[..., None])
        total = both
    return out[0].transpose(0, 1)


def _partial(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, causal: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention to some of the keys, (1, heads, n, head_dim), and the log-sum-exp of its scores,
    (1, heads, n).

    `scaled_dot_product_attention` does not return the log-sum-exp; the kernels behind it do.
    """
    kernels = torch.ops.aten
    if not q.is_cuda:
        return kernels._scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal)
    if q.dtype == torch.float32:
        found = kernels._scaled_dot_product_efficient_attention(q, k, v, None, True, 0.0, causal)
        return found[0], found[1][..., : q.shape[2]]
    found = kernels._scaled_dot_product_flash_attention(q, k, v, 0.0, causal)
    return found[0], found[1]


def _attend_in_batches(qkv: torch.Tensor, segments: Segments, out: torch.Tensor) -> None:
    """Attention of the segments that begin a stretch, in batches of similar length."""
    for members in segments.batches(segments.fresh):
        lengths, starts = segments.lengths[members], segments.starts[members]
        longest = int(lengths.max())
        if segments.is_batch(members):
            span = slice(int(starts[0]), int(starts[0]) + len(members) * longest)
            batch = qkv[span].view(len(members), longest, *qkv.shape[1:])
            out[span] = _causal(batch).flatten(0, 1)
            continue
        # Padding repeats the segment's last token; it is to the right of all tokens of the segment.
        position = np.arange(longest)
        rows = starts[:, None] + np.minimum(position, lengths[:, None] - 1)  # (B, longest)
        kept = np.flatnonzero(position < lengths[:, None])
        # Without names for the copies, so that each is freed as soon as it is used.
        index = upload(rows.ravel()[kept], qkv.device)
        out[index] = _causal(qkv[upload(rows, qkv.device)]).flatten(0, 1)[upload(kept, qkv.device)]


def _causal(qkv: torch.Tensor) -> torch.Tensor:
    """(B, L, 3, heads, head_dim) to (B, L, heads, head_dim)."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, L, head_dim) each
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
