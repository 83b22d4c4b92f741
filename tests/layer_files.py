"""Datasets for tests, as the aggregation leaves them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from evo2_embed.analysis.fusion.writing import fuse_bundle, fuse_layers
from evo2_embed.dataset.bundles import write_record
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.part_files import write_parts
from evo2_embed.dataset.part_names import bundle_of, part_name
from evo2_embed.io.files import write_json
from evo2_embed.io.tables import embeddings_schema, metadata_schema, vectors

COMMON = ("settings", "packing", "windows", "checkpoint_sha256", "packages")
COMMON += ("model", "pooling", "precision", "engine", "workflow")


def keys_of(rows, genomes=None):
    """A table of keys from (contig, start, end, strand, name); of genome `g` if none are given."""
    contig, start, end, strand, name = zip(*rows, strict=True)
    label = pa.dictionary(pa.int32(), pa.string())
    columns = {
        "genome": pa.array(genomes or ["g"] * len(rows)).cast(label),
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


def write_layer(
    folder, layer, values, rows, dtype="float32", bundles=("g",), genomes=None, **changes
):
    """A dataset as the aggregation leaves it, with short row groups; each bundle has as many rows,
    and a record with the digest of the layer, as `aggregate_bundle` leaves it."""
    schema = embeddings_schema(values.shape[1], dtype)
    table = pa.table([*keys_of(rows, genomes).columns, vectors(values.astype(dtype))], schema)
    said = {"width": values.shape[1], "dtype": dtype, **changes}
    return write_dataset(folder, layer, table, values.shape[1], bundles, **said)


def write_dataset(folder, name, table, numbers, bundles=("g",), **said):
    """The same of any table with `numbers` per row; with further entries of the record."""
    record = {**dict.fromkeys(COMMON, "x"), "layer": name, "digest": name, "levels": {}, **said}
    schema = metadata_schema(table.schema, record)
    each, parts = -(-len(table) // len(bundles)), []
    for number, bundle in enumerate(bundles):
        mine = table.slice(number * each, each)
        written = write_parts(folder / "parts", [mine], schema, numbers)
        for index, part in enumerate(written):
            file = part_name(number, bundle, index)
            (folder / name).mkdir(exist_ok=True)
            (folder / "parts" / part["file"]).replace(folder / name / file)
            parts.append({**part, "file": file})
        origin = {**record, "bundle": bundle, "shards": [bundle]}
        entry = {name: {"digest": f"{name} {bundle}"}}
        write_record(str(folder / "bundles" / bundle / f"{name}.json"), origin, entry)
    path = folder / f"{name}.json"
    write_json(path, {**record, "rows": len(table), "parts": parts})
    return str(path)


def fuse(records, settings, parameters, output):
    """The record of a fused dataset, made bundle by bundle from layers of `write_layer`."""
    first = Dataset.open(records[0])
    bundles = dict.fromkeys(bundle_of(part["file"]) for part in first.record["parts"])
    folder, made = first.path.parent / "bundles", []
    how = {"method": settings.method, "strands": settings.strands, "code": 1, "name": output.stem}
    for bundle in bundles:
        known = [str(folder / bundle / Path(path).name) for path in records]
        made.append(str(folder / bundle / "fusions" / output.name))
        fuse_bundle(records, known, how, str(parameters), made[-1], str(output))
    return fuse_layers(records, made, how, str(parameters), str(output))


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
