"""Weights of layers, learned from labels."""

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from evo2_embed.io.errors import InputError


def is_labelled(labels: np.ndarray) -> np.ndarray:
    """Which rows have a label, (n,): a number that is not NaN, or a class that is not None."""
    if labels.dtype.kind == "f":
        return ~np.isnan(labels)
    return np.not_equal(labels, None).astype(bool)


def learn_weights(values: np.ndarray, widths: list[int], labels: np.ndarray) -> np.ndarray:
    """Weights of layers: the share of each in the coefficients of a linear probe.

    One probe (logistic regression for classes, ridge regression for numbers, both with
    scikit-learn's default regularisation) is fitted to all layers side by side. The weight of a
    layer is the L2 norm of its coefficients over all classes, divided by the sum of these norms.
    Layers must be standardised, so that coefficients can be compared.

    Parameters
    ----------
    values : ndarray of float32, (n, sum of widths)
        Standardised layers side by side.
    widths : list of int
        Dimensions of each layer.
    labels : ndarray, (n,)
        Of float64 (NaN: no label), or of object (classes; None: no label).

    Returns
    -------
    ndarray of float64, (layers,)
        They sum to 1.

    Raises
    ------
    InputError
        If fewer than two different labels are left.
    """
    known = is_labelled(labels)
    values, labels = values[known], labels[known]
    kinds = len(set(labels.tolist()))
    if kinds < 2:
        raise InputError(
            f"weights: probe: {len(labels)} rows have a label, with {kinds} different value(s) "
            "(expected: two or more); correct probe.labels or give the weights"
        )
    if labels.dtype.kind == "f":
        # Standardised, so that the regularisation does not depend on the unit of the numbers.
        probe = Ridge().fit(values, (labels - labels.mean()) / labels.std())
    else:
        probe = LogisticRegression(max_iter=1000).fit(values, labels.astype(str))
    coefficients = np.atleast_2d(probe.coef_)  # (classes, sum of widths)
    layers = np.split(coefficients, np.cumsum(widths)[:-1], axis=1)
    norms = np.array([np.linalg.norm(layer) for layer in layers])
    if not norms.sum():
        raise InputError("weights: probe: these layers do not predict the labels; give the weights")
    return norms / norms.sum()
