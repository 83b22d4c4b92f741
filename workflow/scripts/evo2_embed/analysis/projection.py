"""Projection of vectors to two or three dimensions, for figures."""

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA

MOST_COMPONENTS = 50  # of the input of UMAP


@dataclass(frozen=True)
class Projection:
    """Rows of a dataset, projected.

    Attributes
    ----------
    components : ndarray, (3 or fewer, n)
        Principal components.
    shares : list of float
        Shares of the variance.
    umap : ndarray, (2, n), or None
    """

    components: np.ndarray
    shares: list[float]
    umap: np.ndarray | None


def project(vectors: np.ndarray, umap: bool) -> Projection | None:
    """Project vectors (n, width); None if all are equal, or for one vector or one dimension.

    The same vectors give the same figure: PCA with a fixed seed and sign, UMAP on its first 50
    components with a fixed seed and one thread. Fewer than 10 rows get no UMAP.
    """
    n, width = vectors.shape
    if n < 2 or width < 2 or not (vectors != vectors[0]).any():
        return None
    pca = PCA(min(MOST_COMPONENTS, n, width), random_state=0).fit(vectors)
    points = pca.transform(vectors)
    shares = [float(share) for share in pca.explained_variance_ratio_[:3]]
    flat = _umap(points) if umap and n >= 10 else None
    return Projection(points[:, :3].T, shares, flat)


def _umap(points: np.ndarray) -> np.ndarray:
    # Takes seconds to import and to compile: only if it is used.
    from umap import UMAP

    neighbours = min(15, len(points) - 1)
    reducer = UMAP(n_neighbors=neighbours, init="pca", random_state=0, n_jobs=1)
    return reducer.fit_transform(points.astype(np.float32)).T
