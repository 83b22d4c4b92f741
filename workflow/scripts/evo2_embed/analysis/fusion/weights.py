"""Weights of layers, learned from labels."""

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from evo2_embed.io.errors import InputError


def is_labelled(labels: np.ndarray) -> np.ndarray:
    """Which rows have a label: a number that is not NaN, or a class that is not None."""
    if labels.dtype.kind == "f":
        return ~np.isnan(labels)
    return np.array([label is not None for label in labels], bool)


def learn_weights(values: np.ndarray, widths: list[int], labels: np.ndarray) -> np.ndarray:
    """Weights of layers: the share that each has in the coefficients of a linear probe.

    One probe (logistic regression for classes, ridge for numbers, both of scikit-learn with its
    defaults for the penalty) is fitted to all layers side by side. A layer's weight is the L2 norm
    of its coefficients, of all classes, divided by the sum of these norms. Layers have to be
    standardised, so that coefficients can be compared.

    Parameters
    ----------
    values : ndarray of float32, (n, sum of widths)
        Standardised layers side by side.
    widths : list of int
    labels : ndarray, (n,)
        Floats (NaN: no label), or objects (classes; None: no label).

    Raises
    ------
    InputError
        When the labels are too few, or all alike.
    """
    known = is_labelled(labels)
    values, labels = values[known], labels[known]
    kinds = len(set(labels.tolist()))
    if kinds < 2:
        raise InputError(
            f"weights: probe: {len(labels)} rows have a label, with {kinds} different value(s) "
            "(wanted: two or more); mend probe.labels or give the weights"
        )
    if labels.dtype.kind == "f":
        # Standardised, so that the penalty does not depend on the unit.
        probe = Ridge().fit(values, (labels - labels.mean()) / labels.std())
    else:
        probe = LogisticRegression(max_iter=1000).fit(values, labels.astype(str))
    coefficients = np.atleast_2d(probe.coef_)  # (classes, sum of widths)
    layers = np.split(coefficients, np.cumsum(widths)[:-1], axis=1)
    norms = np.array([np.linalg.norm(layer) for layer in layers])
    if not norms.sum():
        raise InputError("weights: probe: these layers tell nothing of the labels; give weights")
    return norms / norms.sum()
