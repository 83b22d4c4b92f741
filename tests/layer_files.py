"""Datasets for tests, as the aggregation leaves them."""

import numpy as np
import pyarrow as pa
from evo2_embed.dataset.part_files import PartWriter
from evo2_embed.io.files import atomic_directory, write_json
from evo2_embed.io.tables import embeddings_schema, metadata_schema, vectors

COMMON = ("settings", "packing", "windows", "checkpoint_sha256", "packages")
COMMON += ("model", "pooling", "precision", "engine", "workflow")


def keys_of(rows):
    """A table of keys from (contig, start, end, strand, name)."""
    contig, start, end, strand, name = zip(*rows, strict=True)
    label = pa.dictionary(pa.int32(), pa.string())
    columns = {
        "genome": pa.array(["g"] * len(rows)).cast(label),
        "contig": pa.array(contig).cast(label),
        "start": pa.array(start, pa.int64()),
        "end": pa.array(end, pa.int64()),
        "strand": pa.array(strand),
        "name": pa.array(name, pa.string()),
        "n_tokens": pa.array(np.subtract(end, start).astype(np.int32)),
        "context": pa.array(np.where(np.array(strand) == "+", end, 160).astype(np.int32)),
        "exons": pa.array(np.ones(len(rows), np.int32)),
    }
    return pa.table(columns)


def write_layer(folder, layer, values, rows, dtype="float32", **changes):
    """A dataset as the aggregation leaves it, with short row groups."""
    record = {**dict.fromkeys(COMMON, "x"), "layer": layer, "digest": layer, **changes}
    schema = metadata_schema(embeddings_schema(values.shape[1], dtype), record)
    path = folder / f"{layer}.json"
    with atomic_directory(folder / layer) as temporary:
        writer = PartWriter(temporary, schema, values.shape[1])
        columns = [*keys_of(rows).columns, vectors(values.astype(dtype))]
        writer.add(pa.table(columns, schema=schema))
        writer.close()
    said = {"rows": len(rows), "width": values.shape[1], "dtype": dtype, "parts": writer.files}
    write_json(path, {**record, **said})
    return str(path)


def many_rows(number):
    """Windows of 9 bases on both strands, for `write_layer`."""
    return [("c", i // 2, i // 2 + 9, "+-"[i % 2], None) for i in range(number)]


def same_parameters(one, other):
    """Check that two files hold the same parameters of a fusion, whatever they were made from."""
    with np.load(one) as first, np.load(other) as second:
        assert sorted(first) == sorted(second)
        for name in first:
            if name != "fusion":
                np.testing.assert_array_equal(first[name], second[name])


class Standin:
    """The interface of a fitted fusion: layers side by side, minus the means of its rows."""

    def __init__(self, layers, settings, labels):
        assert settings.strands == "keep"
        assert len(labels) == len(next(iter(layers.values())))
        self.means = {name: values.mean(axis=0) for name, values in layers.items()}

    def apply(self, layers):
        return np.hstack([layers[name] - mean for name, mean in self.means.items()])
