"""The layers of an extraction, compared without labels."""

import numpy as np

from evo2_embed.analysis.compare import measures
from evo2_embed.analysis.compare.measures import rounded
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.sampling import evenly
from evo2_embed.dataset.shards import read_shard_layer
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.files import read_json, write_json
from evo2_embed.io.logs import log

# Rows count as alike if their mean cosine, also to shuffled windows, is at least this.
ALIKE = 0.95
COMPONENTS = (1, 3, 10)
QUANTILES = (0.05, 0.5, 0.95)


def compare_layers(
    records: dict[str, str], control: str | None, rows: int, code: int, output: str
) -> dict:
    """Write the comparison of an extraction's layers.

    Parameters
    ----------
    records : dict of str to str
        By layer, the record of its dataset; the datasets have the same rows.
    control : str or None
        Record of the embeddings of shuffled windows.
    rows : int
        Maximum number of rows of each layer.
    code : int
        Version of the code, for the record.
    output : str
        JSON file to write: `rows`; `layers`, for each layer the result of `describe`; `cka`, the
        similarity of each pair of layers (null if it is not defined).
    """
    datasets = {layer: Dataset.open(path) for layer, path in records.items()}
    shuffled = read_json(control) if control else None
    settings = {"code": code, "rows": rows}
    wanted = evenly(next(iter(datasets.values())).rows, rows)
    described, grams = {}, {}
    for layer, dataset in datasets.items():
        _, values = dataset.read_at(wanted)
        others = read_shard_layer(control, layer)[1] if control else None
        grams[layer] = measures.gram(values)
        described[layer] = describe(values, grams[layer], others)
        log.info("%s: %s", layer, described[layer])
    similar = measures.cka(list(grams.values())).tolist()
    digests = [dataset.record["digest"] for dataset in datasets.values()]
    result = {
        "settings": settings,
        "digest": settings_digest([settings, digests, shuffled and shuffled["digest"]]),
        "rows": len(wanted),
        "shuffled_windows": shuffled["n_chunks"] if shuffled else 0,
        "layers": described,
        "cka": {
            layer: dict(zip(grams, map(rounded, row), strict=True))
            for layer, row in zip(grams, similar, strict=True)
        },
    }
    write_json(output, result)
    return result


def describe(values: np.ndarray, products: np.ndarray, shuffled: np.ndarray | None) -> dict:
    """Properties of a layer's embeddings.

    Parameters
    ----------
    values : ndarray, (n, width)
    products : ndarray, (n, n)
        Their inner products, see `measures.gram`.
    shuffled : ndarray, (m, width), or None
        Embeddings of shuffled windows.

    Returns
    -------
    dict
        `effective_rank`; `variance`, the share of the first 1, 3 and 10 principal components;
        `cosine`, mean over all pairs of rows, and `cosine_quantiles`; `cosine_to_shuffled`, mean
        over all pairs of a row and a shuffled window; `alike`, whether the rows are similar to
        each other and to shuffled sequence.
    """
    singular = measures.spectrum(products)
    cosines = measures.pair_cosines(values)
    mean = float(cosines.mean()) if len(cosines) else None
    to_shuffled = None if shuffled is None else measures.mean_cosine_to(values, shuffled)
    return {
        "width": values.shape[1],
        "effective_rank": rounded(measures.effective_rank(singular)),
        "variance": {
            str(number): rounded(measures.variance_share(singular, number)) for number in COMPONENTS
        },
        "cosine": rounded(mean),
        "cosine_quantiles": [rounded(q) for q in np.quantile(cosines, QUANTILES)]
        if len(cosines)
        else None,
        "cosine_to_shuffled": rounded(to_shuffled),
        "alike": mean is not None
        and mean >= ALIKE
        and (to_shuffled is None or to_shuffled >= ALIKE),
    }
