"""Token embeddings of packs to vectors of rows; a row may have tokens in several packs."""

import numpy as np
import torch

from evo2_embed.embed.row_spans import RowSpans
from evo2_embed.engine.segments import upload

# Bytes of spans of tokens that are copied at once.
_COPIED = 1 << 28
# Spans (n, length, width) to vectors (n, width).
_HOW = {
    "mean": lambda spans: spans.mean(1, dtype=torch.float32),
    "max": lambda spans: spans.amax(1).float(),
    "sum": lambda spans: spans.sum(1, dtype=torch.float64),
}


class Pooler:
    """Pools the tokens of rows in float32, or adds them in float64, on the device of the tokens.

    Rows that are not complete yet are kept from one pack to the next.

    Parameters
    ----------
    pooling : str or dict
        `sum`, or the pooling of an extraction.
    """

    def __init__(self, pooling: str | dict):
        self.how = pooling if pooling in ("max", "sum") else "mean"
        # Incomplete rows: their indices, tokens so far, and by layer means (maxima, sums) so far.
        self.open = np.empty(0, np.int64)
        self.count = np.empty(0, np.int64)
        self.values: dict[str, torch.Tensor] = {}

    def pool(
        self, outputs: dict[str, torch.Tensor], spans: RowSpans
    ) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
        """Pool the outputs of a pack.

        Parameters
        ----------
        outputs : dict of str to Tensor, (T, width)
            By layer.
        spans : RowSpans
            The tokens of rows in the pack.

        Returns
        -------
        row_index : ndarray of int64, (n,)
            Rows whose last token is in the pack.
        values : dict of str to Tensor of float32 or (sums) float64, (n, width)
            By layer, their vectors.
        """
        found = {
            layer: pool_spans(tokens, spans.start, spans.length, self.how)
            for layer, tokens in outputs.items()
        }
        if not len(self.open) and spans.ends.all():
            return spans.row_index, found
        # Span `span[i]` continues the open row `known[i]`.
        span, known = np.nonzero(spans.row_index[:, None] == self.open)
        count = spans.length.copy()
        count[span] += self.count[known]
        untouched = np.setdiff1d(np.arange(len(self.open)), known)
        kept = {}  # nothing changes before all layers are pooled, so `pool` can be called again
        for layer, values in found.items():
            if len(known):
                before = self.values[layer][_on(known, values)]
                share = _on(self.count[known] / count[span], values).float()[:, None]
                self._join(values, _on(span, values), before, share)
            begun = values[_on(np.flatnonzero(~spans.ends), values)]
            if len(untouched):
                begun = torch.cat([self.values[layer][_on(untouched, values)], begun])
            kept[layer] = begun
            found[layer] = values[_on(np.flatnonzero(spans.ends), values)]
        self.values = kept
        self.open = np.concatenate([self.open[untouched], spans.row_index[~spans.ends]])
        self.count = np.concatenate([self.count[untouched], count[~spans.ends]])
        return spans.row_index[spans.ends], found

    def _join(
        self, values: torch.Tensor, span: torch.Tensor, before: torch.Tensor, share: torch.Tensor
    ) -> None:
        """Join earlier values of rows, of a `share` of their tokens, with those of spans."""
        mine = values[span]
        if self.how == "sum":
            values[span] = before + mine
        elif self.how == "max":
            values[span] = torch.maximum(mine, before)
        else:
            values[span] = mine.lerp(before, share)


def pool_spans(
    tokens: torch.Tensor, starts: np.ndarray, lengths: np.ndarray, how: str
) -> torch.Tensor:
    """Mean, maximum (`max`) or `sum` of k spans of tokens (T, width), (k, width): float32, or
    float64 for sums."""
    dtype = torch.float64 if how == "sum" else torch.float32
    pooled = tokens.new_empty(len(starts), tokens.shape[1], dtype=dtype)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        at_once = max(1, _COPIED // (length * tokens[0].nbytes))
        for some in np.split(rows, range(at_once, len(rows), at_once)):
            spans = _spans(tokens, starts[some], length)  # (rows, length, width)
            pooled[_on(some, tokens)] = _HOW[how](spans)
    return pooled


def _on(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return upload(values, like.device)


def _spans(tokens: torch.Tensor, starts: np.ndarray, length: int) -> torch.Tensor:
    """Spans of one length, (n, length, width): a view if they lie end to end, else a copy."""
    if (np.diff(starts) == length).all():
        first = int(starts[0])
        return tokens[first : first + len(starts) * length].view(len(starts), length, -1)
    return tokens[_on(starts[:, None] + np.arange(length), tokens)]
