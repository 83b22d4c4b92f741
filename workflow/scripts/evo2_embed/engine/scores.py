"""Log-likelihoods: log p of each token, given the tokens of its stretch before it.

The logits of a token give the probabilities of the next one. So a stretch passes on the
probabilities after its last token to the segment that continues it, and to the forks that begin
there. The first token of a stretch has the score 0.
"""

import torch

from evo2_embed.engine.segments import Segments
from evo2_embed.engine.states import BlockState


def log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    """Logarithms of the probabilities of all tokens of the vocabulary, (..., V): float32."""
    return torch.log_softmax(logits, -1, dtype=torch.float32)


def of_tokens(logits: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Scores of whole stretches of one length.

    Parameters
    ----------
    logits : Tensor, (B, L, V)
    tokens : Tensor of int64, (B, L)

    Returns
    -------
    Tensor of float32, (B, L, 1)
    """
    scores = logits.new_zeros(*tokens.shape, 1, dtype=torch.float32)
    for row, each, found in zip(logits, tokens, scores, strict=True):
        found[1:] = log_probabilities(row[:-1]).gather(1, each[1:, None])
    return scores


class Scorer:
    """The scores of a pack, from its logits tile by tile.

    Parameters
    ----------
    tokens : Tensor of int64, (T,)
    segments : Segments
    state : BlockState
        Holds the probabilities after the last token before each segment that continues a stretch.
    vocabulary : int
        Number of tokens that the model knows, V.

    Attributes
    ----------
    scores : Tensor of float32, (T, 1)
        Complete after `add` was called for all tiles.
    """

    def __init__(
        self, tokens: torch.Tensor, segments: Segments, state: BlockState, vocabulary: int
    ):
        self.tokens, self.segments, self.state = tokens[:, None], segments, state
        self.scores = tokens.new_zeros(len(tokens), 1, dtype=torch.float32)
        self.before = state.stacked("next", (vocabulary,), self.scores)  # (P, V)

    def add(self, start: int, logits: torch.Tensor) -> None:
        """Score the tokens that follow those of a tile, from its logits (t, V)."""
        log_p, stop = log_probabilities(logits), start + len(logits)
        following = self.tokens[start + 1 : stop + 1]  # no token follows the last one
        self.scores[start + 1 : stop + 1] = log_p[: len(following)].gather(1, following)
        for row, last in enumerate((self.segments.kept_ends - 1).tolist()):
            if start <= last < stop:
                self.state.after[row]["next"] = log_p[last - start].clone()

    def finish(self) -> torch.Tensor:
        """All scores: the first token of a segment does not follow the segment before it."""
        device = self.scores.device
        fresh, continued = (self.segments.first_tokens(of, device) for of in (False, True))
        self.scores.index_fill_(0, fresh, 0)
        if self.before is not None:
            first = self.before.gather(1, self.tokens.index_select(0, continued))
            self.scores.index_copy_(0, continued, first)
        return self.scores
