"""The plan of variants: file sizes, and packs that alternates cannot fill."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.pack.metadata import read_metadata
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.plan.advice import warnings_of
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.run.frozen import plan_run
from runs import CONFIG, merged, random_bases, write_fasta
from variant_files import vcf_of


@pytest.fixture
def packed(tmp_path, monkeypatch):
    """A function that chunks and packs SNVs at these places: the settings and the estimate of the
    plan, and the metadata of the packs."""
    monkeypatch.chdir(tmp_path)
    bases = random_bases(300_000, 5)
    write_fasta("g.fa", [("c", bases)])
    Path("genomes.tsv").write_text("genome\tfasta\tvariants\ng\tg.fa\tv.vcf\n")

    def packed(places, **changes):
        records = [("c", i + 1, ".", bases[i], "AC"[bases[i] == "A"]) for i in places.tolist()]
        Path("v.vcf").write_text(vcf_of(records))
        sharding = {"sharding": {"shards": 1}}
        run = plan_run(merged(merged(CONFIG, sharding), changes))
        settings, bundle = run.settings, run.bundles["g"]
        section, windows = settings.variants.to_dict(), settings.windows.to_dict()
        chunk_bundle(list(bundle.genomes), windows, "i", "c.parquet", 1, variants=section)
        how = {"packing": settings.packing.to_dict(), "code": 1}
        pack_shard(list(bundle.genomes), "c.parquet", 0, 1, how, "i", "g/00000.parquet")
        origin = read_metadata(pq.ParquetFile("g/00000.parquet"))
        return settings, estimate_run(settings, run.bundles, "i"), origin

    return packed


@pytest.mark.parametrize(
    ("variants", "context", "spacing"),
    [
        ({"size": 512}, {}, 600),
        ({"size": 512, "share": "none"}, {}, 600),
        ({"size": 4096}, {}, 60),
        ({"size": 512, "downstream": 64, "share": "contig"}, {"span": 4096, "min": 1024}, 100),
    ],
)
def test_files_of_variants_are_as_large_as_their_plan_said(packed, variants, context, spacing):
    windows = {"size": 512, **({"context": context} if context else {})}
    packing = {"max_tokens": 16_384}
    places = np.arange(5000, 295_000, spacing)
    _, estimate, origin = packed(places, variants=variants, windows=windows, packing=packing)
    assert estimate.tokens == origin.n_tokens
    assert estimate.windows == origin.n_chunks == 2 * len(places)
    found = Path("c.parquet").stat().st_size, Path("g/00000.parquet").stat().st_size
    assert (estimate.chunk_bytes, estimate.pack_bytes) == pytest.approx(found, rel=0.3)


@pytest.mark.parametrize(("downstream", "warned"), [(64, True), (400, False)])
def test_alternates_that_cannot_fill_packs_are_warned_of(packed, downstream, warned):
    settings, estimate, origin = packed(
        np.arange(10_000, 60_000, 20),
        variants={"size": 2048, "downstream": downstream, "share": "contig"},
        windows={"size": 512, "context": {"span": 32_768, "min": 2048}},
        packing={"max_tokens": 16_384},
    )
    full = origin.n_tokens / origin.budget_tokens
    lines = warnings_of(settings, estimate, {"default": []}, 10**15, 0, 10**15)
    lines = [line for line in lines if "variants.downstream" in line]
    assert (len(lines) == 1) == warned == (full < 0.8)
    if warned:
        (said,) = [word for word in lines[0].split() if word.endswith("%")]
        assert float(said.rstrip("%")) / 100 == pytest.approx(full, abs=0.1)
