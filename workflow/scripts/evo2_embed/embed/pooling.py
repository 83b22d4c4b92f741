"""Token embeddings to the vectors of rows, also of rows that lie across several packs.

Which rows there are, `rows.count_rows` says, and where their tokens are, `row_spans.SegmentRows`.
"""

import numpy as np
import torch

from evo2_embed.embed.row_spans import Spans


class Pooler:
    """Pools the tokens of rows, in float32, on their device.

    A row that is begun in one pack and ended in a later one is kept in between.

    Parameters
    ----------
    pooling : str or dict
    """

    def __init__(self, pooling: str | dict):
        self.largest = pooling == "max"
        self.row = np.empty(0, np.int64)  # those that are begun
        self.count = np.empty(0, np.int64)  # and how many of their tokens were met
        self.values: dict[str, torch.Tensor] = {}  # by layer their means, or largest values, so far

    def pool(
        self, outputs: dict[str, torch.Tensor], spans: Spans
    ) -> tuple[np.ndarray, dict[str, torch.Tensor]]:
        """Take the outputs of a pack.

        Parameters
        ----------
        outputs : dict of str to Tensor, (T, width)
            By layer.
        spans : Spans
            Where the rows' tokens are in it.

        Returns
        -------
        row : ndarray of int64, (n,)
            The rows that end in the pack.
        values : dict of str to Tensor of float32, (n, width)
            By layer, their vectors.
        """
        found = {
            layer: pool_spans(tokens, spans.start, spans.length, self.largest)
            for layer, tokens in outputs.items()
        }
        if not len(self.row) and spans.ends.all():
            return spans.row, found
        span, known = np.nonzero(spans.row[:, None] == self.row)
        count = spans.length.copy()
        count[span] += self.count[known]
        untouched = np.setdiff1d(np.arange(len(self.row)), known)
        for layer, values in found.items():
            if len(known):
                before = self.values[layer][_on(known, values)]
                share = _on(self.count[known] / count[span], values).float()[:, None]
                self._join(values, _on(span, values), before, share)
            begun = values[_on(~spans.ends, values)]
            if len(untouched):
                begun = torch.cat([self.values[layer][_on(untouched, values)], begun])
            self.values[layer] = begun
            found[layer] = values[_on(spans.ends, values)]
        self.row = np.concatenate([self.row[untouched], spans.row[~spans.ends]])
        self.count = np.concatenate([self.count[untouched], count[~spans.ends]])
        return spans.row[spans.ends], found

    def _join(
        self, values: torch.Tensor, span: torch.Tensor, before: torch.Tensor, share: torch.Tensor
    ) -> None:
        """Put what was met before into the values of spans; `share` of their tokens were."""
        mine = values[span]
        values[span] = torch.maximum(mine, before) if self.largest else mine.lerp(before, share)


def pool_spans(
    tokens: torch.Tensor, starts: np.ndarray, lengths: np.ndarray, largest: bool
) -> torch.Tensor:
    """Mean, or largest value, of spans of tokens (T, width): float32, (k, width)."""
    pooled = tokens.new_empty(len(starts), tokens.shape[1], dtype=torch.float32)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        spans = _spans(tokens, starts[rows], int(length)).float()  # (rows, length, width)
        values = spans.amax(dim=1) if largest else spans.mean(dim=1)
        pooled[torch.from_numpy(rows).to(tokens.device)] = values
    return pooled


def _on(values: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(values).to(like.device)


def _spans(tokens: torch.Tensor, starts: np.ndarray, length: int) -> torch.Tensor:
    """Spans of one length, (n, length, width): a view where they lie end to end, else a copy."""
    if (np.diff(starts) == length).all():
        first = int(starts[0])
        return tokens[first : first + len(starts) * length].view(len(starts), length, -1)
    where = torch.from_numpy(starts[:, None] + np.arange(length)).to(tokens.device)
    return tokens[where]
