"""Which layer is best, if the folds tell: means with intervals, and paired comparisons.

Folds share most of their training rows, so their results are not independent, and the variance of
their mean is more than 1 / folds of theirs. Nadeau and Bengio (Inference for the Generalization
Error, Machine Learning 52, 2003) add the ratio of tested to trained rows: 1 / folds + n_test /
n_train. Nothing corrects for the best of many layers being the luckiest one, too.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

LEVEL = 0.95


@dataclass(frozen=True)
class Verdict:
    """The layer with the best mean, and the others that it cannot be told from, best first."""

    best: str
    undecided: list[str]

    @property
    def winner(self) -> str | None:
        """The best layer, where it beats every other by more than the noise."""
        return None if self.undecided else self.best


def judge(scores: dict[str, np.ndarray], test_share: float) -> Verdict:
    """Find the best of several layers.

    Parameters
    ----------
    scores : dict of str to ndarray of float64, (folds,)
        The metric, the higher the better, of the same folds for each layer.
    test_share : float
        Rows tested for each row trained on.
    """
    order = sorted(scores, key=lambda name: -scores[name].mean())
    best = order[0]
    rest = [name for name in order[1:] if not beats(scores[best], scores[name], test_share)]
    return Verdict(best, rest)


def beats(one: np.ndarray, other: np.ndarray, test_share: float) -> bool:
    """Whether one is better than the other by more than the noise: corrected paired t-test,
    one-sided, 95 %.

    Parameters
    ----------
    one, other : ndarray of float64, (folds,)
    test_share : float
    """
    difference = one - other
    margin = student.ppf(LEVEL, len(difference) - 1) * _error(difference, test_share)
    return bool(difference.mean() > margin)


def interval(values: np.ndarray, test_share: float) -> dict[str, float]:
    """Mean over folds and its 95 % interval, with the same correction.

    Parameters
    ----------
    values : ndarray of float64, (folds,)
    test_share : float

    Returns
    -------
    dict
        mean, low, high.
    """
    mean = float(values.mean())
    half = student.ppf((1 + LEVEL) / 2, len(values) - 1) * _error(values, test_share)
    return {"mean": mean, "low": mean - float(half), "high": mean + float(half)}


def _error(values: np.ndarray, test_share: float) -> float:
    """Standard error of the mean over folds."""
    return float(np.sqrt((1 / len(values) + test_share) * values.var(ddof=1)))
