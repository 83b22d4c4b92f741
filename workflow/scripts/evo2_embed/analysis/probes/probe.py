"""A linear probe of embeddings, cross-validated: how well labels can be read off a layer."""

from collections.abc import Callable

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from evo2_embed.analysis.probes.folds import Folds, inner_parts
from evo2_embed.analysis.probes.metrics import mean_auc, score_classes, score_numbers

COMPONENTS, WIDE = 256, 512  # vectors of more than `WIDE` numbers are reduced to `COMPONENTS`
INNER_PARTS = 3
CLASS_GRID = (1e-5, 1e-3, 1e-1, 10.0)  # C: the larger, the less regularised
NUMBER_GRID = (1e-1, 1e1, 1e3, 1e5)  # alpha: the larger, the more regularised


def cross_validate(
    vectors: Callable[[np.ndarray], np.ndarray], labels: np.ndarray, folds: Folds
) -> list[dict[str, float]]:
    """Train on each fold's training rows and test on its tested ones.

    Logistic regression (classes weighted to count alike) or ridge regression, on standardised
    numbers. Vectors of more than 512 numbers are reduced to 256 principal components first; a
    probe of 4,096 numbers a row would take too long. Regularisation is chosen from a small grid by
    cross-validation within the training rows, groups together. All of it is fitted on training rows
    only. Arithmetic runs on one thread, so that results do not depend on how many cores there are.

    Parameters
    ----------
    vectors : function
        From the numbers of a fold's training rows to the vectors of all n rows, (n, width): those
        of a layer are the same for all folds, those of a fusion are not.
    labels : ndarray of object or of float64, (n,)
    folds : Folds

    Returns
    -------
    list of dict
        Metrics of each fold.
    """
    results = []
    with threadpool_limits(1):
        for train, test in folds.parts:
            values = vectors(train)
            reduce = _reduction(values.shape[1], len(train)).fit(values[train])
            inner = inner_parts(labels[train], folds.groups[train], INNER_PARTS)
            model = _fit(reduce.transform(values[train]), labels[train], inner)
            results.append(_score(model, reduce.transform(values[test]), labels[test]))
    return results


def _reduction(width: int, rows: int):
    steps = [StandardScaler()]
    if width > WIDE:
        steps.append(PCA(min(COMPONENTS, rows), random_state=0))
    return make_pipeline(*steps, FunctionTransformer(_as_double))


def _as_double(values: np.ndarray) -> np.ndarray:
    """The solvers converge to their tolerance in double precision only."""
    return np.asarray(values, np.float64)


def _fit(values: np.ndarray, labels: np.ndarray, inner: list):
    """The fitted model, its regularisation chosen by the inner folds, or the middle of the grid
    where training rows cannot be divided."""
    if labels.dtype == float:
        model, grid, scoring = Ridge(), {"alpha": NUMBER_GRID}, "r2"
    else:
        # Newton's method solves a matrix of coefficients by coefficients: fast for two classes.
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
    """Labels dealt out anew among the rows that are tested together, so that every fold has as
    many of each as before."""
    rng = np.random.default_rng(seed)
    result = labels.copy()
    for _, test in folds.parts:
        result[test] = labels[rng.permutation(test)]
    return result
