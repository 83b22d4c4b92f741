"""The layers of an extraction, compared without labels."""

from pathlib import Path

import numpy as np

from evo2_embed.analysis.compare import measures
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.sampling import evenly
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.files import read_json, write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import embeddings_schema, open_table, vectors_to_numpy

# From this mean cosine on, to each other and to shuffled windows, rows count as alike.
ALIKE = 0.95
COMPONENTS = (1, 3, 10)
QUANTILES = (0.05, 0.5, 0.95)


def compare_layers(
    records: dict[str, str], control: str | None, settings: dict, output: str
) -> dict:
    """Write the comparison of an extraction's layers.

    Parameters
    ----------
    records : dict of str to str
        By layer, the record of its dataset; the datasets have the same rows.
    control : str or None
        The record of the embeddings of shuffled windows.
    settings : dict
        `rows`, how many rows of each layer to take, and `code`.
    output : str
        JSON file: `rows`, by layer what `describe` says, and the layers' similarity, `cka`
        (null where it is not defined).
    """
    datasets = {layer: Dataset.open(path) for layer, path in records.items()}
    shuffled = read_json(control) if control else None
    rows = evenly(next(iter(datasets.values())).rows, settings["rows"])
    described, grams = {}, {}
    for layer, dataset in datasets.items():
        _, values = dataset.read_at(rows)
        others = _read_control(Path(control).parent, shuffled, layer) if control else None
        grams[layer] = measures.gram(values)
        described[layer] = describe(values, grams[layer], others)
        log.info("%s: %s", layer, described[layer])
    similar = measures.cka(list(grams.values())).tolist()
    digests = [dataset.record["digest"] for dataset in datasets.values()]
    result = {
        "settings": settings,
        "digest": settings_digest([settings, digests, shuffled and shuffled["digest"]]),
        "rows": len(rows),
        "shuffled_windows": shuffled["n_chunks"] if shuffled else 0,
        "layers": described,
        "cka": {
            layer: dict(zip(grams, map(_number, row), strict=True))
            for layer, row in zip(grams, similar, strict=True)
        },
    }
    write_json(output, result)
    return result


def describe(values: np.ndarray, products: np.ndarray, shuffled: np.ndarray | None) -> dict:
    """What a layer's embeddings are like.

    Parameters
    ----------
    values : ndarray, (n, width)
    products : ndarray, (n, n)
        Their `measures.gram`.
    shuffled : ndarray, (m, width), or None
        Embeddings of shuffled windows.

    Returns
    -------
    dict
        `effective_rank`; `variance`, the share of the first principal components, by their number;
        `cosine`, the mean over all pairs of rows, and `cosine_quantiles`; `cosine_to_shuffled`, the
        mean; `alike`, whether the rows look alike whatever the sequence.
    """
    singular = measures.spectrum(products)
    cosines = measures.pair_cosines(values)
    mean = float(cosines.mean()) if len(cosines) else None
    to_shuffled = None if shuffled is None else measures.mean_cosine_to(values, shuffled)
    return {
        "width": values.shape[1],
        "effective_rank": _number(measures.effective_rank(singular)),
        "variance": {
            str(number): _number(measures.variance_share(singular, number)) for number in COMPONENTS
        },
        "cosine": _number(mean),
        "cosine_quantiles": [_number(q) for q in np.quantile(cosines, QUANTILES)]
        if len(cosines)
        else None,
        "cosine_to_shuffled": _number(to_shuffled),
        "alike": mean is not None
        and mean >= ALIKE
        and (to_shuffled is None or to_shuffled >= ALIKE),
    }


def _read_control(folder: Path, record: dict, layer: str) -> np.ndarray:
    known = record["layers"][layer]
    dtype = record["settings"]["extraction"]["dtype"]
    schema = embeddings_schema(known["width"], dtype, chunk=True)
    file = open_table(folder / known["file"], schema, known["sha256"], folder / "shard.json")
    return vectors_to_numpy(file.read(["embedding"])["embedding"], known["width"])


def _number(value: float | None) -> float | None:
    """A number as JSON can hold it, to six digits: what follows differs between machines."""
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")
