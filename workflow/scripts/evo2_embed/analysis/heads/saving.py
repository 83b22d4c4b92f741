"""A probe of a layer, fitted to all labelled rows and saved as a head."""

import json

import numpy as np

from evo2_embed import __version__
from evo2_embed.analysis.fusion.stored import load_fusion, values_digest
from evo2_embed.analysis.heads.files import BIAS, MEAN, NUMBER, WEIGHT
from evo2_embed.analysis.heads.origin import ORIGIN
from evo2_embed.analysis.probes.design import KEYS, design_probe
from evo2_embed.analysis.probes.origin import made_from
from evo2_embed.analysis.probes.probe import FittedProbe, fit_probe
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.logs import log
from evo2_embed.io.safetensors import write_arrays
from evo2_embed.settings.analyses import Probe


def save_probe(
    record: str,
    genomes: list[str],
    probe: Probe,
    code: int,
    parameters: str | None,
    output: str,
) -> None:
    """Fit the probe to all rows that it uses, with the design of `probe_extraction`, and save it.

    Parameters
    ----------
    record : str
        Record of the dataset of a layer or of a fusion.
    genomes : list of str
        Names of all genomes of the sheet.
    probe : Probe
        Complete settings.
    code : int
        Version of the code, for the metadata.
    parameters : str or None
        File with the parameters of the fusion, if it is one.
    output : str
        File to write, see `files`.

    Raises
    ------
    InputError
        If the labels or the rows do not allow a probe, or the dataset is damaged.
    """
    dataset = Dataset.open(record)
    design = design_probe(dataset.keys(KEYS), probe, genomes)
    _, vectors = dataset.read_at(design.rows)
    fitted = fit_probe(vectors, design.labels, design.folds.groups)
    kind, made = dataset.record, made_from(code, probe)
    classes = [] if design.kind == NUMBER else fitted.model.classes_.tolist()
    metadata = {
        "kind": design.kind,
        **({"classes": json.dumps(classes, ensure_ascii=False)} if classes else {}),
        "layer": dataset.name,
        **({"parameters": values_digest(load_fusion(parameters))} if parameters else {}),
        **{key: kind[key] for key in ("model", "checkpoint_sha256", "precision", "engine")},
        "pooling": json.dumps(kind["pooling"]),
        "rows": str(len(design.rows)),
        "labels_sha256": made["labels_sha256"],
        "workflow": __version__,
        ORIGIN: json.dumps({**made, "dataset": kind["digest"]}, sort_keys=True),
    }
    write_arrays(output, folded(fitted), metadata)
    log.info("%s: fitted to %d rows; %s", dataset.name, len(design.rows), fitted.model)


def folded(fitted: FittedProbe) -> dict[str, np.ndarray]:
    """The steps and the model of a probe as one linear map.

    Standard deviations and principal components are part of `weight`. The mean of the vectors is
    an array of its own: it may be thousands of times their deviations.

    Returns
    -------
    dict of str to ndarray of float64
        `weight` (outputs, width), `bias` (outputs,) and `mean` (width,). Two classes have two
        outputs, the first of them 0, so that probabilities are the softmax of the outputs.
    """
    steps, model = fitted.steps.named_steps, fitted.model
    weight = np.atleast_2d(np.asarray(model.coef_, np.float64))
    bias = np.atleast_1d(np.asarray(model.intercept_, np.float64))
    if "pca" in steps:
        bias = bias - weight @ steps["pca"].components_ @ steps["pca"].mean_
        weight = weight @ steps["pca"].components_
    scaler = steps["standardscaler"]
    weight = weight / scaler.scale_
    if len(getattr(model, "classes_", ())) == 2:
        weight, bias = np.vstack([np.zeros_like(weight), weight]), np.array([0.0, *bias])
    return {
        WEIGHT: weight.astype(np.float64),
        BIAS: bias.astype(np.float64),
        MEAN: scaler.mean_.astype(np.float64),
    }
