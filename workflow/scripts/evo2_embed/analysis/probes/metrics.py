"""How well predictions fit the rows that were tested."""

import numpy as np
from scipy.stats import spearmanr
from sklearn.metrics import accuracy_score, r2_score, recall_score, roc_auc_score

MAIN = {"class": "roc_auc", "number": "r2"}


def score_classes(
    labels: np.ndarray, predicted: np.ndarray, scores: np.ndarray, classes: np.ndarray
) -> dict[str, float]:
    """roc_auc, balanced_accuracy and accuracy.

    Parameters
    ----------
    labels, predicted : ndarray of object, (n,)
    scores : ndarray of float, (n, classes)
        Predicted probabilities.
    classes : ndarray of object, (classes,)
    """
    return {
        "roc_auc": mean_auc(labels, scores, classes),
        # Like balanced_accuracy_score, but without a warning about classes that no tested row has.
        "balanced_accuracy": recall_score(
            labels, predicted, labels=np.unique(labels), average="macro", zero_division=0
        ),
        "accuracy": accuracy_score(labels, predicted),
    }


def mean_auc(labels: np.ndarray, scores: np.ndarray, classes: np.ndarray) -> float:
    """Area under the ROC curve: each class against the rest, mean over the classes that some rows
    have. For two classes, that of the second. 0.5 if all rows have one class."""
    if len(classes) == 2:
        classes, scores = classes[1:], scores[:, 1:]
    areas = [
        roc_auc_score(labels == label, column)
        for label, column in zip(classes, scores.T, strict=True)
        if 0 < (labels == label).sum() < len(labels)
    ]
    return float(np.mean(areas)) if areas else 0.5


def score_numbers(numbers: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """r2 and spearman of predictions, (n,) each; spearman is 0 if one of the two is constant."""
    flat = min(np.ptp(numbers), np.ptp(predicted)) == 0
    return {
        "r2": r2_score(numbers, predicted),
        "spearman": 0.0 if flat else float(spearmanr(numbers, predicted).statistic),
    }
