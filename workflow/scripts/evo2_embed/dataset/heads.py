"""The dataset of a head: what it gives for each row of a layer."""

import numpy as np
import pyarrow as pa

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.tables import LABEL, embeddings_schema, vectors

CLASS, NUMBER, SPARSE = "class", "number", "sparse"
PROBABILITY = "p_"  # begins the name of a column with the probability of a class


class HeadDataset(Dataset):
    """The dataset of a head, with the keys of other datasets; it has no vectors."""

    @property
    def head(self) -> dict:
        """What the record says of the head: `kind`, `layer`, `classes` and others."""
        return self.record["head"]

    @property
    def schema(self) -> pa.Schema:
        """Columns: see `head_schema`."""
        head = self.head
        return head_schema(head["kind"], self.width, head["classes"], self.has_variants)

    @property
    def vector_column(self) -> None:
        """None: it has no vectors."""
        return None


def head_schema(kind: str, width: int, classes: list[str], variants: bool) -> pa.Schema:
    """Columns of the dataset of a head: the keys of its layer's dataset, and then

    - class: `label`, and a column `p_{class}` for each class;
    - number: `number`, or `numbers`, a list of fixed length, if there are several;
    - sparse: `features` and `values`, lists of at most k entries, by value.

    Parameters
    ----------
    kind : {"class", "number", "sparse"}
    width : int
        Number of classes or numbers.
    classes : list of str
    variants : bool
        Whether rows also have the columns `tables.OF_VARIANT`.
    """
    keys = embeddings_schema(1, "float32", variants=variants)
    keys = keys.remove(keys.get_field_index("embedding"))
    for field in _fields(kind, width, classes):
        keys = keys.append(field)
    return keys


def _fields(kind: str, width: int, classes: list[str]) -> list[pa.Field]:
    number = pa.float32()
    if kind == CLASS:
        of_classes = [pa.field(f"{PROBABILITY}{name}", number, nullable=False) for name in classes]
        return [pa.field("label", LABEL, nullable=False), *of_classes]
    if kind == SPARSE:
        items = {"features": pa.int32(), "values": number}
        return [
            pa.field(name, pa.list_(pa.field("item", kind, nullable=False)), nullable=False)
            for name, kind in items.items()
        ]
    if width == 1:
        return [pa.field("number", number, nullable=False)]
    several = pa.list_(pa.field("item", number, nullable=False), width)
    return [pa.field("numbers", several, nullable=False)]


def class_columns(probabilities: np.ndarray, classes: list[str]) -> list[pa.Array]:
    """Columns of kind class, from probabilities (n, classes)."""
    best = pa.array(probabilities.argmax(axis=1).astype(np.int32))
    labels = pa.DictionaryArray.from_arrays(best, pa.array(classes))
    return [labels, *(pa.array(each) for each in probabilities.T.astype(np.float32))]


def number_columns(numbers: np.ndarray) -> list[pa.Array]:
    """Columns of kind number, from numbers (n, outputs) of float32."""
    return [pa.array(numbers[:, 0]) if numbers.shape[1] == 1 else vectors(numbers)]


def sparse_columns(
    counts: np.ndarray, features: np.ndarray, values: np.ndarray, schema: pa.Schema
) -> list[pa.Array]:
    """Columns of kind sparse, from the number of features of each row, and all of them."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    return [
        pa.ListArray.from_arrays(offsets, pa.array(numbers), type=schema.field(name).type)
        for name, numbers in {"features": features, "values": values.astype(np.float32)}.items()
    ]
