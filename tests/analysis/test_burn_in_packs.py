"""The pack file of the burn-in, and the measurement of the embeddings made from it."""

from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from evo2_embed.analysis.burn_in.curves import pair_rows
from evo2_embed.analysis.burn_in.limits import ROW
from evo2_embed.analysis.burn_in.measure import measure_burn_in
from evo2_embed.analysis.burn_in.packs import pack_burn_in
from evo2_embed.analysis.burn_in.stretches import stretch_bounds
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.digests import file_sha256
from evo2_embed.io.files import read_json, write_json
from evo2_embed.io.tables import (
    PACKS,
    embeddings_schema,
    open_table,
    table_metadata,
    table_writer,
    vectors,
)
from evo2_embed.pack.read import read_chunk_keys, read_packs
from evo2_embed.settings.windows import VariantSettings, Windows
from runs import random_bases, write_fasta
from test_burn_in import made_up_layer
from variant_files import vcf_of


@pytest.fixture
def bundle(tmp_path):
    """A function that makes a bundle: the path of its chunk table, and its genomes."""

    def make(genomes, **windows):
        found = []
        for name, records in genomes.items():
            found.append(Genome(name, write_fasta(tmp_path / f"{name}.fa", records)))
        settings = Windows(**windows, stride=windows["size"]).to_dict()
        chunks = str(tmp_path / "chunks.parquet")
        chunk_bundle(found, settings, str(tmp_path / "indexes"), chunks, 1)
        return chunks, found

    return make


def packed(bundle, tmp_path, length=1600, strand="+", starts=3, **packing):
    """The pack file of a bundle's burn-in: its metadata, its packs, and the keys of its chunks."""
    packing = {"strategy": "packed", "max_tokens": 700, "piece": 300, "bos": True, **packing}
    target = {"length": length, "starts": starts, "strand": strand, "code": 1}
    settings = {"packing": packing, "code": 1}
    output = tmp_path / "burn_in" / "packs.parquet"
    output.parent.mkdir()
    found = pack_burn_in(bundle[1], bundle[0], target, settings, str(tmp_path), str(output))
    file = open_table(output, PACKS)
    metadata = table_metadata(file)
    assert metadata["burn_in"] == found
    keys = read_chunk_keys(file)
    assert not keys.pop("parts").counts.any()
    return metadata, list(read_packs(file, "packs")), pl.DataFrame(keys)


@pytest.mark.parametrize("strand", ["+", "-"])
def test_the_packs_have_one_long_stretch_and_short_ones_of_the_longest_contig(
    bundle, tmp_path, strand
):
    long = random_bases(1700, 1)
    genomes = {"one": [("a", random_bases(1500, 2))], "two": [("b", "ACGT"), ("c", long.lower())]}
    metadata, packs, rows = packed(bundle(genomes, size=500), tmp_path, strand=strand)
    place = metadata["burn_in"]["place"]
    begin = 0 if strand == "+" else 1700 - 1536
    assert place == {
        **{"genome": "two", "contig": "c", "strand": strand, "row": ROW},
        **{"start": begin, "end": begin + 1536, "starts": 3, "stretch": 384},
    }
    tokens = {number: [] for number in range(4)}
    for pack in packs:
        for number, stretch in enumerate(pack["stretch"]):
            first, last = pack["cu_seqlens"][number : number + 2]
            assert last - first <= 300
            tokens[stretch].append(bytes(pack["tokens"][first:last]))
    bases = long[begin : begin + 1536]
    if strand == "-":
        bases = bases.translate(str.maketrans("ACGT", "TGCA"))[::-1]
    for number, (first, last) in enumerate(stretch_bounds(1600, 3).tolist()):
        assert b"".join(tokens[number]) == b"\0" + bases[first:last].encode()
    assert metadata["n_tokens"] == 1536 + 3 * 384 + 4 == sum(len(p["tokens"]) for p in packs)
    pairs = pair_rows(rows.with_columns(n_tokens=pl.col("end") - pl.col("start")))
    assert len(pairs.short) == 3 * 384 // ROW
    assert sorted(rows["chunk"]) == list(range(len(rows)))
    assert set(rows["contig"]) == {"c"}


def test_a_genome_with_variants_has_the_burn_in_of_its_contigs(bundle, tmp_path):
    records = [("c", random_bases(1700, 1))]
    chunks, genomes = bundle({"g": records}, size=500)
    _, packs, rows = packed((chunks, genomes), tmp_path)
    base = records[0][1][99]
    vcf = tmp_path / "v.vcf"
    vcf.write_text(vcf_of([("c", 100, ".", base, "AC"[base == "A"])]))
    windows, section = Windows(size=500).to_dict(), VariantSettings(size=60, downstream=30)
    genomes = [replace(genomes[0], variants=str(vcf))]
    indexes = str(tmp_path / "indexes")
    chunk_bundle(genomes, windows, indexes, chunks, 1, variants=section.to_dict())
    (tmp_path / "burn_in").rename(tmp_path / "before")
    _, again, same = packed((chunks, genomes), tmp_path)
    assert len(packs) == len(again) > 1
    for one, other in zip(packs, again, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])
    assert rows.to_dicts() == same.to_dicts()


def test_the_longest_stretch_avoids_ambiguous_letters(bundle, tmp_path):
    genomes = {"one": [("a", "N" * 3000 + random_bases(5000, 1) + "N" * 2000)]}
    metadata, _, _ = packed(bundle(genomes, size=500), tmp_path)
    place = metadata["burn_in"]["place"]
    assert 3000 <= place["start"] < place["end"] <= 8000


@pytest.mark.parametrize(
    ("bases", "length", "why"),
    [
        (1000, 16384, "the longest contig, 'a' of one, has 1,000 bases, and 1,024 are needed"),
        (
            1500,
            900,
            "the model and packing.max_tokens allow a stretch of 900 bases, and 1,024 are needed",
        ),
    ],
)
def test_a_contig_or_context_too_short_gives_a_reason_and_no_packs(
    bundle, tmp_path, bases, length, why
):
    genomes = {"one": [("a", random_bases(bases, 1))]}
    metadata, packs, _ = packed(bundle(genomes, size=500), tmp_path, length)
    assert metadata["burn_in"] == {"reason": why, "place": None}
    assert metadata["n_packs"] == 0
    assert not packs


def test_the_measurement_is_written_from_the_embeddings_of_the_packs(bundle, tmp_path):
    genomes = {"one": [("a", random_bases(2000, 1))]}
    metadata, _, keys = packed(bundle(genomes, size=500), tmp_path, strand="-")
    keys = keys.sort("start", "chunk").with_columns(
        n_tokens=pl.col("end") - pl.col("start"), exons=1
    )
    pairs, folder = pair_rows(keys), tmp_path / "burn_in" / "default"
    folder.mkdir()
    layers = {"blocks.2": 32, "norm": 0}
    for layer, until in layers.items():
        values = made_up_layer(pairs, len(keys), until)
        schema = embeddings_schema(values.shape[1], "float32", chunk=True)
        with table_writer(folder / f"{layer}.parquet", schema) as writer:
            columns = {name: keys[name].to_arrow() for name in schema.names[:-1]}
            columns = {
                name: column.cast(schema.field(name).type) for name, column in columns.items()
            }
            columns["embedding"] = vectors(values)
            writer.write_table(pa.table(columns, schema))
    record = {
        "digest": "",
        "settings": {"extraction": {"dtype": "float32"}},
        "layers": {
            layer: {
                "file": f"{layer}.parquet",
                "width": 24,
                "sha256": file_sha256(folder / f"{layer}.parquet"),
            }
            for layer in layers
        },
    }
    write_json(folder / "shard.json", record)
    output = tmp_path / "default.json"
    packs = str(tmp_path / "burn_in" / "packs.parquet")
    measure_burn_in(packs, str(folder / "shard.json"), 1, str(output))
    found = read_json(output)
    assert found["place"] == metadata["burn_in"]["place"]
    assert {layer: entry["settled"] for layer, entry in found["layers"].items()} == layers
