"""The burn-in: which stretches run, what is measured on them, and what the report says of it."""

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from evo2_embed.analysis.burn_in.curves import (
    SETTLED,
    describe,
    group_edges,
    pair_rows,
    settled_from,
)
from evo2_embed.analysis.burn_in.limits import ROW, longest_context
from evo2_embed.analysis.burn_in.measure import measure_burn_in
from evo2_embed.analysis.burn_in.packs import pack_burn_in
from evo2_embed.analysis.burn_in.places import MIN_LENGTH, place_stretches
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
from evo2_embed.report.burn_in import burn_in, recommendation
from evo2_embed.settings.sections import Extraction, Model, Packing, Settings, Windows
from runs import Workflow, random_bases, write_fasta

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("length", [MIN_LENGTH, 1100, 5000, 16384, 100_001])
@pytest.mark.parametrize("starts", [1, 3, 8, 64])
def test_short_stretches_begin_deep_in_the_long_one_and_end_within(length, starts):
    stretches = place_stretches(length, starts)
    (begin, end), short = stretches[0], stretches[1:]
    assert begin == 0
    assert length - 4 * ROW < end <= length
    assert 1 <= len(short) <= starts
    assert (np.diff(short[:, 0]) > 0).all()
    assert (short[:, 0] >= end // 2).all()
    assert (short[:, 1] - short[:, 0] == end // 4).all()
    assert short.max() <= end
    assert (stretches % ROW == 0).all()


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({}, 16384),
        ({"bos": True}, 16384),
        ({"strategy": "padded"}, 3000),
        ({"engine": "stock"}, 3000),
        ({"engine": "stock", "piece": 2000, "bos": True}, 1999),
        ({"model": "evo2_7b_base"}, 8192),
        ({"model": "evo2_7b_base", "bos": True}, 8191),
    ],
)
def test_the_longest_context_is_one_that_the_extraction_can_run(changes, most):
    changes = {"model": "evo2_tiny", "engine": "packed", **changes}
    model, engine = Model(name=changes.pop("model")), changes.pop("engine")
    settings = Settings(
        genomes="-",
        packing=Packing(**{"max_tokens": 3000, "piece": 3000, **changes}),
        extractions={"one": Extraction(layers=[], model=model, engine=engine)},
    )
    assert longest_context(settings, "one") == most


def made_up_keys(length, starts, strand, size=ROW):
    """Rows of `size` bases of all stretches, in any order."""
    rows = [
        (begin, at - begin)
        for begin, end in place_stretches(length, starts).tolist()
        for at in range(begin, end, size)
    ]
    begin, before = np.array(rows)[RNG.permutation(len(rows))].T
    start = begin + before if strand == "+" else 7000 - begin - before - size
    return pl.DataFrame(
        {"start": start, "end": start + size, "n_tokens": size, "context": before + size}
    )


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("size", [ROW, ROW // 4])
def test_rows_of_the_same_bases_are_paired(strand, size):
    keys = made_up_keys(4096, 5, strand, size)
    pairs = pair_rows(keys)
    rows = keys.with_columns(before=pl.col("context") - pl.col("n_tokens")).to_dicts()
    assert len(pairs.reference) == 4096 // size
    assert len(pairs.short) == 5 * 1024 // size == len(keys) - len(pairs.reference)
    assert set(pairs.longest) <= set(pairs.reference)
    for short, longest, before in zip(pairs.short, pairs.longest, pairs.before, strict=True):
        assert rows[short]["start"] == rows[longest]["start"]
        assert rows[short]["before"] == before < 1024
        assert rows[longest]["before"] - before >= 2048


def test_every_distance_is_in_a_group_and_none_is_empty():
    for length in [*range(256, 3000, ROW), 4096, 25_024]:
        edges = group_edges(length)
        group = np.searchsorted(edges, np.arange(0, length, ROW), side="right") - 1
        assert edges[0] == 0
        assert edges[-1] == length
        assert np.array_equal(np.unique(group), np.arange(len(edges) - 1))


def made_up_layer(pairs, rows, until, share=1.0):
    """Embeddings of the place alone, but for rows nearer to the start than `until` (a share of
    them), which are of something else; all with a large common mean."""
    values = RNG.normal(size=(rows, 24))
    odd = (pairs.before < until) & (RNG.random(len(pairs.before)) < share)
    values[pairs.short[~odd]] = values[pairs.longest[~odd]]
    return (values + 100).astype(np.float32)


def test_a_layer_is_settled_from_where_context_changes_nothing():
    keys = made_up_keys(16384, 8, "+")
    pairs, edges = pair_rows(keys), group_edges(4096)
    for until in (0, 256, 1024):
        found = describe(made_up_layer(pairs, len(keys), until), pairs, edges)
        assert found["settled"] == until
        low, median, high = np.transpose(found["centred"]["cosine"])
        assert (median[edges[:-1] < until] < 0.5).all()
        assert low[edges[:-1] >= until] == pytest.approx(1)
        assert (low <= median).all()
        assert (median <= high).all()
        # With the mean left in, other places look alike, and one would see nothing.
        assert np.abs(found["centred"]["apart"][1]) < 0.1
        assert found["raw"]["apart"][0] > 0.999
        assert np.min(found["raw"]["cosine"]) > 0.999
    assert describe(made_up_layer(pairs, len(keys), 4096), pairs, edges)["settled"] is None
    # Where a few rows are still others, the median does not show it.
    found = describe(made_up_layer(pairs, len(keys), 512, share=0.2), pairs, edges)
    assert found["centred"]["cosine"][2][1] == pytest.approx(1)
    assert found["settled"] == 512


def test_settled_is_said_of_what_stays_so():
    low, median = SETTLED
    good, edges = [low, median, 1], np.array([0, 32, 64, 96])
    assert settled_from([good] * 3, edges) == 0
    assert settled_from([good, [low, median - 0.01, 1], good], edges) == 64
    assert settled_from([good, [low - 0.01, median, 1], good], edges) == 64
    assert settled_from([good, good, [low - 0.01, 1, 1]], edges) is None


def measured(settled):
    edges = [0, 32, 64, 96]
    curve = {"cosine": [[0.1, 0.5, 0.9], [0.5, 0.9, 1], [0.96, 0.991, 1]], "apart": [-1, 0.0, 1]}
    layer = {"raw": curve, "centred": curve}
    place = {"genome": "g", "contig": "<b>", "start": 0, "end": 384, "strand": "+", "row": 32}
    return {
        "reason": None,
        "place": {**place, "starts": 3, "stretch": 96},
        "settled_at": [0.95, 0.99],
        "edges": edges,
        "layers": {name: {**layer, "settled": bases} for name, bases in settled.items()},
    }


@pytest.mark.parametrize(
    ("settled", "said"),
    [
        ({"norm": 64}, "Embeddings of norm are settled after 64 bases. Set windows.context"),
        ({"a": 32, "b": 64}, "of all layers are settled after 64 bases (b last)."),
        ({"a": None, "b": 64}, "Embeddings of a still change after 96 bases of context"),
        ({"a": None, "b": 64}, "Embeddings of the others are settled after 64 bases"),
        ({"a": None}, "measure further (burn_in.length)."),
        ({"a": 0}, "Embeddings of a are settled from the first base on."),
        (dict.fromkeys("abcde"), "Embeddings of a, b, c and 2 more still change"),
    ],
)
def test_the_report_recommends_what_was_measured(settled, said):
    record = measured(settled)
    assert said in recommendation(record)
    page = burn_in("default", record)
    assert 'id="burn-in--default"' in page
    assert "<b>" not in page
    assert all(f"<td>{layer}</td>" in page for layer in settled)
    assert ("not within 96" in page) == (None in settled.values())


def test_many_layers_have_colours_of_their_own():
    page = burn_in("many", measured({f"blocks.{number}": 64 for number in range(32)}))
    assert "Colours go from the first layer to the last" in page


def test_where_nothing_was_measured_the_report_says_why_or_nothing():
    assert burn_in("default", None) == ""
    page = burn_in("default", {"reason": "the longest contig, 'c' of g, has 500 bases"})
    assert "Not measured: the longest contig, &#x27;c&#x27; of g, has 500 bases." in page


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
    """The pack file of a bundle's burn-in: its metadata, its packs, and what chunks are in it."""
    packing = {"strategy": "packed", "max_tokens": 700, "piece": 300, "bos": True, **packing}
    places = {"length": length, "starts": starts, "strand": strand, "code": 1}
    settings = {"packing": packing, "code": 1}
    output = tmp_path / "burn_in" / "packs.parquet"
    output.parent.mkdir()
    found = pack_burn_in(bundle[1], bundle[0], places, settings, str(tmp_path), str(output))
    file = open_table(output, PACKS)
    metadata = table_metadata(file)
    assert metadata["burn_in"] == found
    return metadata, list(read_packs(file, "packs")), pl.DataFrame(read_chunk_keys(file))


@pytest.mark.parametrize("strand", ["+", "-"])
def test_the_packs_have_the_longest_contig_whole_and_in_parts(bundle, tmp_path, strand):
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
    for number, (first, last) in enumerate(place_stretches(1600, 3).tolist()):
        assert b"".join(tokens[number]) == b"\0" + bases[first:last].encode()
    assert metadata["n_tokens"] == 1536 + 3 * 384 + 4 == sum(len(p["tokens"]) for p in packs)
    pairs = pair_rows(rows.with_columns(n_tokens=pl.col("end") - pl.col("start")))
    assert len(pairs.short) == 3 * 384 // ROW
    assert sorted(rows["chunk"]) == list(range(len(rows)))
    assert set(rows["contig"]) == {"c"}


def test_the_long_stretch_keeps_off_unknown_bases(bundle, tmp_path):
    genomes = {"one": [("a", "N" * 3000 + random_bases(5000, 1) + "N" * 2000)]}
    metadata, _, _ = packed(bundle(genomes, size=500), tmp_path)
    place = metadata["burn_in"]["place"]
    assert 3000 <= place["start"] < place["end"] <= 8000


@pytest.mark.parametrize(
    ("bases", "length", "why"),
    [
        (1000, 16384, "the longest contig, 'a' of one, has 1,000 bases, and 1,024 are needed"),
        (1500, 900, "a pack (packing.max_tokens) takes 900 bases, and 1,024 are needed"),
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


def test_what_is_written_is_what_the_rows_say(bundle, tmp_path):
    genomes = {"one": [("a", random_bases(2000, 1))]}
    metadata, _, keys = packed(bundle(genomes, size=500), tmp_path, strand="-")
    keys = keys.sort("start", "chunk").with_columns(n_tokens=pl.col("end") - pl.col("start"))
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
    measure_burn_in(packs, str(folder / "shard.json"), {"code": 1}, str(output))
    found = read_json(output)
    assert found["place"] == metadata["burn_in"]["place"]
    assert {layer: entry["settled"] for layer, entry in found["layers"].items()} == layers
    assert "after 32 bases (blocks.2 last)" in burn_in("default", found)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("burn_in")
    flow = Workflow(folder / "flow")
    flow.sheet({"one": write_fasta(folder / "one.fa", [("c", random_bases(2500, 1))])})
    flow.configure(
        windows={"size": 256},
        burn_in={"length": 2048, "starts": 2},
        extractions={"default": {"layers": ["blocks.2", "norm"], "pooling": {"bin": 8}}},
    )
    flow.run()
    return flow


def test_a_run_measures_with_the_extractions_own_embeddings(finished):
    results = finished.folder / "results"
    found = read_json(results / "burn_in/default.json")
    assert list(found["layers"]) == ["blocks.2", "norm"]
    assert (found["place"]["end"], found["place"]["stretch"]) == (2048, 512)
    keys = ["start", "end", "context"]
    for layer in found["layers"]:
        rows = pl.read_parquet(results / f"burn_in/default/{layer}.parquet")
        assert len(rows) == (2048 + 2 * 512) // 8
        # Windows of the dataset begin where these stretches do.
        window = pl.read_parquet(results / f"embeddings/default/{layer}/*.parquet")
        both = rows.join(window, on=keys)
        assert sorted({*both["start"] - both["context"] + both["n_tokens"]}) == [0, 1024, 1536]
        assert len(both) == 3 * 256 // 8
        one, two = (np.stack(both[name].to_list()) for name in ("embedding", "embedding_right"))
        assert np.allclose(one, two, rtol=1e-4, atol=1e-4 * np.abs(two).max())
    page = (results / "report.html").read_text()
    assert "Burn-in: default" in page
    assert "Nothing to be done" in finished.run()


def test_an_edit_of_the_burn_in_runs_nothing_else(finished):
    config = (finished.folder / "config/config.yaml").read_text()
    (finished.folder / "config/config.yaml").write_text(config.replace("starts: 2", "starts: 3"))
    planned = finished.planned()
    (finished.folder / "config/config.yaml").write_text(config)
    jobs = ("pack_burn_in", "embed_burn_in", "measure_burn_in", "write_report", "all")
    assert planned == dict.fromkeys(jobs, 1)
