"""The examples of regions and variants run as they stand, and their rows equal `Evo2.forward`."""

import gzip
import json
import shutil
from collections import Counter
from dataclasses import replace

import evo2_embed
import numpy as np
import polars as pl
import pytest
import torch
from evo2_embed.dataset.alleles import alleles_schema, compare_bundle, join_alleles
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.export.tracks import write_tracks
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json, write_json
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.report import effects
from evo2_embed.report.summary import load_results
from evo2_embed.run.digests import Digests
from evo2_embed.run.frozen import Run, load_frozen
from evo2_embed.run.origins import check_origin
from evo2_embed.run.params import rule_params
from evo2_embed.run.verify import verify_run
from rule_headers import documented_keys
from runs import ROOT, Workflow
from stock import FACTOR, alone, assert_same, bounds_of, in_float64

COMPLEMENT = str.maketrans("ACGT", "TGCA")
LAYER = "blocks.6"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A function that runs a copy of an example: its folder."""
    root = tmp_path_factory.mktemp("examples")
    (root / "resources").mkdir()
    shutil.copy(ROOT / "resources" / "lambda.fa.gz", root / "resources")
    shutil.copytree(ROOT / "config" / "examples", root / "config" / "examples")

    def finished(name):
        folder = root / "config" / "examples" / name
        if not (folder / "results").exists():
            Workflow.at(folder).run()
        return folder

    return finished


@pytest.fixture(scope="module")
def models():
    """The bundled model, and the same in float64."""
    torch.set_num_threads(1)
    evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    return evo2, in_float64(evo2)


def rows_of(folder, extraction):
    table = pl.read_parquet(folder / f"results/embeddings/{extraction}/{LAYER}/*.parquet")
    return table.with_columns(pl.col("genome", "contig").cast(pl.String))


def bases_of(path):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as handle:
        return "".join(line.strip() for line in handle if not line.startswith(">"))


def assert_rows_equal(rows, sequences, models):
    """Compare rows with the means over the last `n_tokens` of each sequence."""
    stock, exact = (
        {
            LAYER: torch.stack(
                [
                    alone(model, np.frombuffer(text.encode(), np.uint8), [LAYER])[LAYER][-n:].mean(
                        0
                    )
                    for text, n in zip(sequences, rows["n_tokens"], strict=True)
                ]
            )
        }
        for model in models
    )
    assert_same({LAYER: rows["embedding"].to_numpy()}, stock, bounds_of(stock, exact))


def test_genes_of_lambda_are_one_row_each(finished, models):
    folder = finished("genes")
    lines = [line.split("\t") for line in (folder / "lambda.gff3").read_text().splitlines()[1:]]
    rows, genome = rows_of(folder, "genes"), bases_of(folder / "../../../resources/lambda.fa.gz")
    genes = sorted((int(line[3]) - 1, int(line[4]), line[6], line[8][3:]) for line in lines)
    assert rows.select("start", "end", "strand", "name").rows() == genes
    some = [0, 20, 40, 61]
    sequences = [
        genome[max(0, start - 200) : end]
        if strand == "+"
        else genome[start : end + 200].translate(COMPLEMENT)[::-1]
        for start, end, strand, _ in (genes[row] for row in some)
    ]
    assert rows[some]["context"].to_list() == [len(text) for text in sequences]
    assert_rows_equal(rows[some], sequences, models)


def test_a_spliced_transcript_and_a_gene_over_the_origin_are_one_row_each(finished, models):
    folder = finished("transcripts")
    rows = rows_of(folder, "mean")
    kin2, plasmid = bases_of(folder / "kin2.fa"), bases_of(folder / "pPCP1.fa")
    assert len(rows) == 11
    joined, pla = rows.filter(genome="kin2"), rows.filter(name="pla")
    keys = ["start", "end", "strand", "n_tokens", "exons"]
    assert joined.select(keys).row(0) == (43, 579, "+", 264, 3)
    assert pla.select(keys).row(0) == (9272, 10_211, "+", 939, 1)
    exons = kin2[43:160] + kin2[319:390] + kin2[503:579]
    gene = plasmid[9272:] + plasmid[:602]
    assert gene.startswith("ATG")
    assert_rows_equal(pl.concat([joined, pla]), [exons, gene], models)


def test_bins_of_them_lie_on_the_genome(finished):
    rows = rows_of(finished("transcripts"), "bins")
    keys = ["start", "end", "n_tokens", "exons"]
    assert rows.filter(genome="kin2").select(keys).rows() == [
        (43, 93, 50, 1),
        (93, 143, 50, 1),
        (143, 352, 50, 2),
        (352, 515, 50, 2),
        (515, 565, 50, 1),
        (565, 579, 14, 1),
    ]
    pla = rows.filter(name="pla")
    assert pla.select(keys).rows()[5:8] == [
        (9522, 9572, 50, 1),
        (9572, 9622, 50, 1),
        (13, 63, 50, 1),
    ]


def test_the_reader_finds_genes_exons_and_a_gene_over_the_origin(finished):
    genes, few = evo2_embed.open(finished("genes") / "results"), ["gene_60", "gene_05"]
    wanted = rows_of(finished("genes"), "genes").filter(pl.col("name").is_in(few))
    assert len(wanted) == 2
    assert genes.by_name(few).drop("row").equals(wanted)
    rows = evo2_embed.open(finished("transcripts") / "results", "mean")
    contig = rows.by_name("pla")["contig"][0]
    # Its last 602 bases are the first ones of the plasmid, which has 9,609.
    for base, found in (("602-602", True), ("603-603", False)):
        names = rows.region(f"{contig}:{base}", circular=9609)["name"].to_list()
        assert ("pla" in names) == found
        assert "pla" not in rows.region(f"{contig}:{base}")["name"].to_list()


def test_the_reader_finds_variants_by_id_in_the_alleles_and_their_differences(finished):
    few = ["snv1", "three_alleles", "last_base"]
    results = finished("variants") / "results"
    differences = evo2_embed.open(results / "variants", "variants").by_name(few)
    assert differences["id"].value_counts().sort("id").rows() == [
        ("last_base", 2),
        ("snv1", 2),
        ("three_alleles", 6),
    ]
    alleles = evo2_embed.open(results, "variants").by_name(few)
    key, side = ["variant", "strand"], {}
    for allele in ("alt", "ref"):
        rows = alleles.filter(allele=allele).sort(key)
        assert rows.select(key).equals(differences.sort(key).select(key))
        side[allele] = rows["embedding"].to_numpy()
    delta = differences.sort(key)["delta"].to_numpy()
    np.testing.assert_allclose(delta, side["alt"] - side["ref"], atol=1e-5)


def windows_of(genome, position, reference, alternate, strand):
    """Both alleles of a variant in windows of 1024 bases, and the bases before it."""
    before, behind = genome[: position - 1], genome[position - 1 + len(reference) :]
    assert before + reference + behind == genome
    texts = [before, behind, reference, alternate]
    if strand == "-":
        texts = [text.translate(COMPLEMENT)[::-1] for text in texts]
        texts[:2] = texts[1::-1]
    before, behind, *alleles = texts
    rest = min(512, *(len(allele + behind) for allele in alleles))
    before = before[-512:]
    return [before + (allele + behind)[:rest] for allele in alleles], len(before)


def variants_of(path):
    """Position, ID, reference and alternate allele of each variant of a VCF that has letters."""
    for line in path.read_text().splitlines():
        if not line.startswith("#"):
            contig, position, name, reference, alternates = line.split("\t")[:5]
            for alternate in alternates.split(","):
                if alternate.isalpha():
                    yield contig, int(position), name, reference, alternate


def test_the_alleles_of_variants_differ_as_in_two_full_windows(finished, models, monkeypatch):
    folder = finished("variants")
    genome = bases_of(folder / "../../../resources/lambda.fa.gz")
    variants = list(variants_of(folder / "lambda.vcf"))
    table = pl.read_parquet(folder / f"results/variants/variants/{LAYER}/*.parquet")
    keys = ["contig", "position", "id", "ref", "alt", "strand"]
    table = table.cast({"contig": pl.String}).sort(["strand", "position", "alt"])
    wanted = [(*variant, strand) for strand in "+-" for variant in variants]
    assert sorted(table.select(keys).rows()) == sorted(wanted)
    rows = rows_of(folder, "variants")
    assert sorted(rows["allele"]) == ["alt"] * len(wanted) + ["ref"] * len(wanted)
    for row in table.gather_every(2).iter_rows(named=True):
        contig, *variant = (row[key] for key in ("contig", "position", "ref", "alt"))
        assert row["variant"] == ":".join(map(str, [contig, *variant]))
        texts, before = windows_of(genome, *variant, row["strand"])
        tokens = [np.frombuffer(text.encode(), np.uint8) for text in texts]
        found = [[alone(model, each, [LAYER, "scores"]) for each in tokens] for model in models]
        for part, first in (("", 0), ("_downstream", before)):
            means = [
                [each[LAYER][first:].double().mean(0).numpy() for each in alleles]
                for alleles in found
            ]
            sums = [[float(each["scores"][first:].double().sum()) for each in a] for a in found]
            error = FACTOR * max(np.abs(a - b).max() for a, b in zip(*means, strict=True))
            ref, alt = means[0]
            assert np.abs(row[f"delta{part}"] - (alt - ref)).max() <= 2 * error
            error *= np.sqrt(len(ref))  # of a vector's length
            assert abs(row[f"euclidean{part}"] - np.linalg.norm(alt - ref)) <= 2 * error
            lengths = [np.linalg.norm(values) for values in (ref, alt)]
            cosine = ref @ alt / np.prod(lengths)
            assert abs(row[f"cosine{part}"] - cosine) <= 2 * error * sum(1 / n for n in lengths)
            difference = max(
                float((a["scores"] - b["scores"]).abs().max()) for a, b in zip(*found, strict=True)
            )
            bound = 2 * FACTOR * difference * len(texts[0])
            assert abs(row[f"llr{part}"] - (sums[0][1] - sums[0][0])) <= bound
    assert sorted(table.columns) == sorted(alleles_schema(8, scores=True).names)
    run = load_frozen(folder / "results/run_config.yaml")
    (job,) = run.jobs("compare_alleles", extraction="variants")
    record = folder / "results" / job.outputs["record"]
    assert verify_run(run, folder / "results", folder / "benchmarks").faults == []
    digests = Digests(run, folder / "results")
    check_origin(job, digests)
    with monkeypatch.context() as patch:
        patch.chdir(folder)
        estimate = estimate_run(run.settings, run.bundles, "results/indexes")
    for kind, folders in {"shard": ["shards"], "dataset": ["embeddings", "variants"]}.items():
        files = [path for name in folders for path in folder.glob(f"results/{name}/**/*.parquet")]
        size = sum(getattr(layer, f"{kind}_bytes") for layer in estimate.layers)
        assert sum(path.stat().st_size for path in files) == pytest.approx(size, rel=0.2), kind
    before = record.read_bytes()
    write_json(record, {**read_json(record), "digest": "of another run"})
    with pytest.raises(InputError, match="variants/blocks.6.json: made from other settings"):
        check_origin(job, digests)
    record.write_bytes(before)
    part = next(record.with_name(LAYER).iterdir())
    part.rename(folder / "kept")
    assert f"{part.name}: lost" in verify_run(run, folder / "results", folder).faults[0]
    (folder / "kept").rename(part)
    manifest = json.loads((folder / "results/embeddings/variants/manifest.json").read_text())
    assert manifest["variants"][LAYER]["rows"] == len(wanted)
    assert manifest["layers"][LAYER]["variants"] is True


def test_rows_of_variants_give_no_tracks(finished, monkeypatch, tmp_path):
    folder = finished("variants")
    monkeypatch.chdir(folder)
    bundles = load_frozen("results/run_config.yaml").bundles.items()
    genomes = [(name, list(bundle.genomes)) for name, bundle in bundles]
    settings, output = {"tracks": None, "strands": "keep", "code": 1}, tmp_path / "any.json"
    scores = "results/embeddings/variants/scores.json"
    made = write_tracks(scores, genomes, settings, "results/indexes", str(output))
    assert made["exported"] == []
    assert [path.name for path in tmp_path.iterdir()] == ["any.json"]


def test_an_extraction_of_scores_alone_has_the_likelihood_ratios_of_variants(finished):
    folder = finished("variants")
    alone, whole = (
        pl.read_parquet(folder / f"results/variants/{name}/*.parquet")
        for name in ("likelihoods/scores", f"variants/{LAYER}")
    )
    assert alone.columns == alleles_schema(None, scores=True).names
    assert alone.equals(whole.select(alone.columns))
    manifest = read_json(folder / "results/embeddings/likelihoods/manifest.json")
    assert manifest["layers"] == {}
    assert manifest["variants"]["scores"]["rows"] == len(whole)


def test_headers_name_the_keys_of_the_records_of_variants(finished):
    documented = documented_keys(ROOT / "workflow/rules/variants.smk")
    keys, entries = documented["variants/{extraction}/{layer}.json"]
    for name in (f"variants/{LAYER}", "likelihoods/scores"):
        record = read_json(finished("variants") / f"results/variants/{name}.json")
        without = [] if name.startswith("variants") else ["width"]
        assert sorted([*record, *without]) == sorted(keys)
        assert all(sorted(part) == sorted(entries["parts"]) for part in record["parts"])
    keys, entries = documented["bundles/{extraction}/{bundle}/variants/{layers}.json"]
    for path in finished("variants").glob("results/bundles/variants/*/variants/*.json"):
        record = read_json(path)
        assert sorted(record) == sorted(keys)
        assert sorted(record["datasets"][LAYER]) == sorted(entries["datasets"])


def test_the_report_shows_the_variants_with_the_largest_effects(finished, monkeypatch):
    monkeypatch.setattr(effects, "_BATCH", 7)
    results = finished("variants") / "results"
    manifests = [str(path) for path in results.glob("embeddings/*/manifest.json")]
    names = [variant[2:] for variant in variants_of(results.parent / "lambda.vcf")]
    kinds = Counter(
        "SNV" if len(ref + alt) == 2 else "deletion" if len(ref) > len(alt) else "other"
        for _, ref, alt in names
    )
    for result in load_results(manifests, []):
        found = effects.read_effects(result, 9)
        layer = LAYER if result.name == "variants" else "scores"
        table = pl.read_parquet(results / f"variants/{result.name}/{layer}/*.parquet")
        assert (found.rows, found.layer, found.by) == (len(table), layer, "llr")
        assert {key: found.counts[key] for key in ("SNV", "deletion")} == {
            key: kinds[key] for key in ("SNV", "deletion")
        }
        assert sum(found.counts.values()) == len(names)
        rows = sorted(table.iter_rows(named=True), key=lambda row: -abs(row["llr"]))[:10]
        same = [[row[key] for key in ("variant", "strand", "llr")] for row in rows]
        assert found.largest.select("variant", "strand", "llr").rows() == list(map(tuple, same))
        nth = np.linspace(0, len(table) - 1, 9).astype(int)
        drawn = sorted(np.concatenate(list(found.llr.values())))
        assert drawn == sorted(table["llr"].to_numpy()[nth])
        if layer == LAYER:
            distances = table["euclidean_downstream"].to_numpy()[nth]
            np.testing.assert_array_equal(found.distances[LAYER], distances)
    page, summary = ((results / name).read_text() for name in ("report.html", "summary.txt"))
    assert "<h2>Variants: variants</h2>" in page
    assert "1 x symbolic allele &lt;DEL&gt;" in page
    assert "variants of variants: 13 (9 SNV, 2 insertion, 1 deletion, 1 MNV)" in summary
    assert rows[0]["variant"] in summary


def test_both_strands_of_variants_are_joined_without_a_new_embedding(finished, tmp_path):
    folder = finished("variants")
    run = load_frozen(folder / "results/run_config.yaml")
    section = replace(run.settings.variants, strands="mean")
    joined = Run(replace(run.settings, variants=section), run.bundles)
    for rule in ("chunk_fasta", "embed_shard", "aggregate_embeddings"):
        names = {"extraction": "variants", "bundle": next(iter(run.bundles))}
        assert repr(rule_params(run, rule, **names)) == repr(rule_params(joined, rule, **names))
    settings = rule_params(joined, "compare_alleles", "variants")["settings"]
    results = folder / "results"
    chunks = [str(path) for path in results.glob("chunks/*.parquet")]
    shards = [str(path) for path in results.glob("shards/variants/*/*/shard.json")]
    record = tmp_path / f"{LAYER}.json"
    (files,), of_bundle = (
        BundleFiles.group(chunks, [len(shards)], shards),
        str(tmp_path / "b" / "all"),
    )
    compare_bundle(files, [LAYER], settings, of_bundle)
    join_alleles([of_bundle], LAYER, settings, str(record))
    found = pl.read_parquet(tmp_path / LAYER / "*.parquet").sort("variant")
    kept = pl.read_parquet(results / f"variants/variants/{LAYER}/*.parquet").sort("variant")
    plus, minus = (kept.filter(strand=strand) for strand in "+-")
    assert read_json(record)["strands"] == "mean"
    assert found["variant"].to_list() == plus["variant"].to_list() == minus["variant"].to_list()
    for part in ("", "_downstream"):
        llr, delta = f"llr{part}", f"delta{part}"
        np.testing.assert_allclose(found[llr], (plus[llr] + minus[llr]) / 2, rtol=1e-12)
        mean = (plus[delta].to_numpy() + minus[delta].to_numpy()) / 2
        np.testing.assert_allclose(found[delta].to_numpy(), mean, rtol=1e-5, atol=1e-5)
        distance = np.linalg.norm(mean, axis=1)
        np.testing.assert_allclose(found[f"euclidean{part}"], distance, rtol=1e-4)
