"""Attention with rotary positions over the segments of a pack."""

import torch
import torch.nn.functional as F

from evo2_embed.engines.scratch import Scratch
from evo2_embed.engines.segments import Segments


class RotaryTable:
    """Cosines and sines of the rotary positions, from the block's own embedding of them.

    Its scaling and its rounding to the type of the model are kept.
    """

    def __init__(self, rotary: torch.nn.Module):
        self.rotary = rotary
        self.cos = self.sin = torch.empty(0)

    def serves(self, rotary: torch.nn.Module) -> bool:
        """Whether another block's embedding of positions is the same, on the same device."""
        mine, other = self.rotary.inv_freq, rotary.inv_freq
        scales = [getattr(x, "_linear_scaling_factor", 1.0) for x in (self.rotary, rotary)]
        return mine.device == other.device and torch.equal(mine, other) and scales[0] == scales[1]

    def __call__(
        self, position: torch.Tensor, longest: int, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Cosine and sine, (t, 1, 1, head_dim / 2) each in float32, of positions (t,)."""
        if len(self.cos) < longest:
            # Tensors of inference mode, once cached in the module, would trip the stock model.
            with torch.inference_mode(False), torch.no_grad():
                self.rotary._update_cos_sin_cache(longest, device=position.device, dtype=dtype)
            self.cos = self.rotary._cos_cached.float()
            self.sin = self.rotary._sin_cached.float()
        return self.cos[position][:, None, None], self.sin[position][:, None, None]


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
    qkv: torch.Tensor, segments: Segments, attention: torch.nn.Module, scratch: Scratch
) -> torch.Tensor:
    """Causal attention within each segment.

    Parameters
    ----------
    qkv : Tensor, (T, 3, heads, head_dim)
        Rotated.
    attention : Module
        Vortex's inner attention: its flash kernel for segments of any length, where it is in use.

    Returns
    -------
    Tensor, (T, heads, head_dim)
    """
    if not hasattr(attention, "window_size"):
        return _attend_in_batches(qkv, segments, scratch)
    ends = torch.from_numpy(segments.ends).to(qkv.device, torch.int32)
    return attention(qkv, cu_seqlens=F.pad(ends, (1, 0)), max_seqlen=segments.longest)


def _attend_in_batches(qkv: torch.Tensor, segments: Segments, scratch: Scratch) -> torch.Tensor:
    """Attention by PyTorch's kernels, on batches of segments of like length."""
    if segments.uniform:
        return _causal(qkv.view(-1, segments.longest, *qkv.shape[1:])).flatten(0, 1)
    out = scratch.get("context", (len(qkv), *qkv.shape[2:]), qkv)
    for members in segments.batches():
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
    return out


def _causal(qkv: torch.Tensor) -> torch.Tensor:
    """(B, L, 3, heads, head_dim) to (B, L, heads, head_dim)."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, heads, L, head_dim) each
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
