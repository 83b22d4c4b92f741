"""A linear probe and its cross-validation: how well a layer predicts labels."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from evo2_embed.analysis.probes.folds import Folds, inner_folds
from evo2_embed.analysis.probes.metrics import mean_auc, score_classes, score_numbers

COMPONENTS, WIDE = 256, 512  # vectors of more than `WIDE` dimensions are reduced to `COMPONENTS`
INNER_FOLDS = 3
CLASS_GRID = (1e-5, 1e-3, 1e-1, 10.0)  # C: a larger value is less regularisation
NUMBER_GRID = (1e-1, 1e1, 1e3, 1e5)  # alpha: a larger value is more regularisation


@dataclass(frozen=True)
class FittedProbe:
    """A fitted probe: steps that standardise and reduce vectors, and a model."""

    steps: Pipeline
    model: LogisticRegression | Ridge

    def score(self, vectors: np.ndarray, labels: np.ndarray) -> dict[str, float]:
        """Metrics by name, for rows with these labels."""
        return _score(self.model, self.steps.transform(vectors), labels)


def fit_probe(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> FittedProbe:
    """Fit a probe to all rows that are given, see `cross_validate`.

    Parameters
    ----------
    vectors : ndarray of float32, (n, width)
    labels : ndarray of object or of float64, (n,)
    groups : ndarray of int64, (n,)
        Each is in one inner fold.
    """
    with threadpool_limits(1):
        steps = _reduction(vectors.shape[1], len(vectors)).fit(vectors)
        inner = inner_folds(labels, groups, INNER_FOLDS)
        return FittedProbe(steps, _fit(steps.transform(vectors), labels, inner))


def cross_validate(
    vectors: Callable[[np.ndarray], np.ndarray], labels: np.ndarray, folds: Folds
) -> list[dict[str, float]]:
    """Train on the training rows of each fold and test on its tested rows.

    The probe is a logistic regression (with balanced class weights) or a ridge regression, on
    standardised vectors. Vectors of more than 512 dimensions are first reduced to 256 principal
    components, because a probe of 4,096 dimensions would take too long. The regularisation is
    chosen from a small grid by cross-validation within the training rows, each group in one inner
    fold. Every step is fitted to training rows only, to prevent leakage. The arithmetic runs on
    one thread, so that results do not depend on the number of cores.

    Parameters
    ----------
    vectors : function
        Takes the indices of a fold's training rows and returns the vectors of all n rows,
        (n, width). Vectors of a layer are the same for all folds, vectors of a fusion are not.
    labels : ndarray of object or of float64, (n,)
    folds : Folds

    Returns
    -------
    list of dict
        Metrics by name, one dict per fold.
    """
    results = []
    with threadpool_limits(1):
        for train, test in folds.splits:
            values = vectors(train)
            probe = fit_probe(values[train], labels[train], folds.groups[train])
            results.append(probe.score(values[test], labels[test]))
    return results


def _reduction(width: int, rows: int) -> Pipeline:
    steps = [StandardScaler()]
    if width > WIDE:
        steps.append(PCA(min(COMPONENTS, rows), random_state=0))
    return make_pipeline(*steps, FunctionTransformer(_as_double))


def _as_double(values: np.ndarray) -> np.ndarray:
    """In float64, because the solvers do not converge to their tolerance in float32."""
    return np.asarray(values, np.float64)


def _fit(values: np.ndarray, labels: np.ndarray, inner: list):
    """The fitted model. Its regularisation is chosen with the inner folds, or is the middle of the
    grid if there are none."""
    if labels.dtype == float:
        model, grid, scoring = Ridge(), {"alpha": NUMBER_GRID}, "r2"
    else:
        # Newton's method solves for the coefficients of all classes at once: fast for two only.
        solver = "newton-cholesky" if len(np.unique(labels)) == 2 else "lbfgs"
        model = LogisticRegression(
            solver=solver, class_weight="balanced", max_iter=10_000, random_state=0
        )
        grid, scoring = {"C": CLASS_GRID}, _auc
    if not inner:
        middle = {name: values_[len(values_) // 2] for name, values_ in grid.items()}
        return model.set_params(**middle).fit(values, labels)
    search = GridSearchCV(model, grid, scoring=scoring, cv=inner, error_score="raise")
    return search.fit(values, labels).best_estimator_


def _auc(model: LogisticRegression, values: np.ndarray, labels: np.ndarray) -> float:
    return mean_auc(labels, model.predict_proba(values), model.classes_)


def _score(model, values: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    predicted = model.predict(values)
    if labels.dtype == float:
        return score_numbers(labels, predicted)
    return score_classes(labels, predicted, model.predict_proba(values), model.classes_)


def permuted(labels: np.ndarray, folds: Folds, seed: int = 0) -> np.ndarray:
    """Labels shuffled among the tested rows of each fold, so that each fold keeps its counts."""
    rng = np.random.default_rng(seed)
    result = labels.copy()
    for _, test in folds.splits:
        result[test] = labels[rng.permutation(test)]
    return result
