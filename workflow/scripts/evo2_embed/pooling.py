"""Token embeddings to the vectors of rows.

Which rows there are, `rows.count_rows` says.
"""

import numpy as np
import torch

from evo2_embed.rows import count_rows


def pool_tokens(
    tokens: torch.Tensor, cu_seqlens: np.ndarray, bos: bool, pooling: str | dict
) -> torch.Tensor:
    """Pool the token embeddings of a pack's segments, in float32, on their device.

    Parameters
    ----------
    tokens : Tensor, (T, width)
    cu_seqlens : ndarray, (S + 1,)
    bos : bool
        Whether each segment begins with a BOS, which is left out.
    pooling : str or dict

    Returns
    -------
    Tensor of float32, (rows, width)
        Segment after segment, each one's rows in the order of its tokens.
    """
    starts = cu_seqlens[:-1] + int(bos)
    lengths = cu_seqlens[1:] - starts
    if pooling == "last":
        return tokens[torch.from_numpy(cu_seqlens[1:] - 1).to(tokens.device)].float()
    if isinstance(pooling, dict):
        counts = count_rows(lengths, pooling)
        offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        offset *= pooling["bin"]
        starts, lengths = np.repeat(starts, counts) + offset, np.repeat(lengths, counts)
        lengths = np.minimum(pooling["bin"], lengths - offset)
    pooled = tokens.new_empty(len(starts), tokens.shape[1], dtype=torch.float32)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        spans = _spans(tokens, starts[rows], int(length)).float()  # (rows, length, width)
        values = spans.amax(dim=1) if pooling == "max" else spans.mean(dim=1)
        pooled[torch.from_numpy(rows).to(tokens.device)] = values
    return pooled


def _spans(tokens: torch.Tensor, starts: np.ndarray, length: int) -> torch.Tensor:
    """Spans of one length, (n, length, width): a view where they lie end to end, else a copy."""
    if (np.diff(starts) == length).all():
        first = int(starts[0])
        return tokens[first : first + len(starts) * length].view(len(starts), length, -1)
    where = torch.from_numpy(starts[:, None] + np.arange(length)).to(tokens.device)
    return tokens[where]
