"""Properties of embeddings, without labels: functions of arrays.

Sources: effective rank, Roy and Vetterli (2007), doi:10.5281/zenodo.40328; linear CKA, Kornblith et
al. (2019), arXiv:1905.00414, with the unbiased HSIC of Song et al. (2012), so that it does not grow
with the dimensions of a layer.
"""

import numpy as np


def gram(values: np.ndarray) -> np.ndarray:
    """Inner products of centred rows: (n, width) to float32, (n, n)."""
    centred = values.astype(np.float64) - values.mean(axis=0, dtype=np.float64)
    return (centred @ centred.T).astype(np.float32)


def spectrum(products: np.ndarray) -> np.ndarray:
    """Singular values of centred rows, descending, (n,), from their `gram` matrix (n, n)."""
    values = np.linalg.eigvalsh(products.astype(np.float64))[::-1]
    return np.sqrt(np.maximum(values, 0))


def effective_rank(singular: np.ndarray) -> float:
    """Number of directions that the rows use: the exponential of the entropy of the shares of the
    singular values. 0 if all rows are equal."""
    total = singular.sum()
    if not total:
        return 0.0
    shares = singular[singular > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))


def variance_share(singular: np.ndarray, components: int) -> float:
    """Share of the variance in the first principal components; 0 if there is no variance."""
    total = (singular**2).sum()
    return float((singular[:components] ** 2).sum() / total) if total else 0.0


def pair_cosines(values: np.ndarray) -> np.ndarray:
    """Cosines of all pairs of different rows (n, width): (n (n - 1) / 2,)."""
    unit = _unit(values)
    return (unit @ unit.T)[np.triu_indices(len(unit), 1)]


def mean_cosine_to(values: np.ndarray, others: np.ndarray) -> float:
    """Mean cosine between every row of one array and every row of another."""
    return float(_unit(values).mean(axis=0) @ _unit(others).mean(axis=0))


def cka(grams: list[np.ndarray]) -> np.ndarray:
    """Similarity of layers, from their `gram` matrices (n, n) over the same rows.

    Returns
    -------
    ndarray, (layers, layers)
        About 1 for layers that are equal up to rotation and scale, about 0 (or slightly below) for
        independent layers. NaN if all rows of a layer are equal, or there are fewer than 4 rows.
    """
    result = np.full((len(grams), len(grams)), np.nan)
    if len(grams[0]) < 4:
        return result
    for i, one in enumerate(grams):
        for j, two in enumerate(grams[: i + 1]):
            result[i, j] = result[j, i] = hsic(one, two)
    own = np.diagonal(result).copy()
    own[own <= 0] = np.nan
    return result / np.sqrt(np.outer(own, own))


def hsic(one: np.ndarray, two: np.ndarray) -> float:
    """Unbiased estimate of the dependence of two kernels (n, n), n > 3 (Song et al., eq. 5)."""
    n = len(one)
    # Without the diagonal: each row is similar to itself, also in independent layers.
    own_one, own_two = np.diagonal(one).astype(float), np.diagonal(two).astype(float)
    rows_one = one.sum(axis=1, dtype=np.float64) - own_one
    rows_two = two.sum(axis=1, dtype=np.float64) - own_two
    trace = np.vdot(one.astype(np.float64), two) - own_one @ own_two
    sums = rows_one.sum() * rows_two.sum() / ((n - 1) * (n - 2))
    return float(trace + sums - 2 * (rows_one @ rows_two) / (n - 2)) / (n * (n - 3))


def rounded(value: float | None) -> float | None:
    """A number for JSON: six digits, because further digits differ between machines; None for what
    is not finite."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")


def _unit(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-300)
