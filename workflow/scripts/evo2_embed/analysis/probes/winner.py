"""Means with confidence intervals, and the best layer if it is significantly better.

Folds share most of their training rows, so their results are not independent: the variance of their
mean is larger than 1 / folds of their variance. Nadeau and Bengio (Inference for the Generalization
Error, Machine Learning 52, 2003) add the ratio of tested rows to training rows: 1 / folds + n_test
/ n_train. There is no correction for the choice of the best among many layers.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

LEVEL = 0.95


@dataclass(frozen=True)
class Verdict:
    """The layer with the best mean, and those it is not significantly better than, best first."""

    best: str
    undecided: list[str]

    @property
    def winner(self) -> str | None:
        """The best layer if it is significantly better than every other, else None."""
        return None if self.undecided else self.best


def judge(scores: dict[str, np.ndarray], test_share: float) -> Verdict:
    """Find the best of several layers.

    Parameters
    ----------
    scores : dict of str to ndarray of float64, (folds,)
        For each layer, the metric (higher is better) in the same folds.
    test_share : float
        Tested rows per training row.
    """
    order = sorted(scores, key=lambda name: -scores[name].mean())
    best = order[0]
    rest = [name for name in order[1:] if not beats(scores[best], scores[name], test_share)]
    return Verdict(best, rest)


def beats(one: np.ndarray, other: np.ndarray, test_share: float) -> bool:
    """Whether one is significantly better than the other: corrected paired t-test, one-sided, at
    the 5 % level.

    Parameters
    ----------
    one, other : ndarray of float64, (folds,)
    test_share : float
    """
    difference = one - other
    margin = student.ppf(LEVEL, len(difference) - 1) * _error(difference, test_share)
    return bool(difference.mean() > margin)


def interval(values: np.ndarray, test_share: float) -> dict[str, float]:
    """Mean over folds and its 95 % confidence interval, with the same correction.

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
