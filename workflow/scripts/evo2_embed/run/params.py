"""The parameters on which the results of a rule depend, except files: for the rule, and for checks.

A file of a run carries them, or a digest of them. Mappings keep their order: Snakemake runs a job
again if the text of a parameter changes.
"""

from evo2_embed import CODE_VERSIONS
from evo2_embed.analysis.burn_in.limits import longest_context
from evo2_embed.io.digests import settings_digest
from evo2_embed.plan.bundles import Bundle
from evo2_embed.run.frozen import LATER, Run
from evo2_embed.settings.extraction import SCORES


def rule_params(
    run: Run,
    rule: str,
    extraction: str | None = None,
    fusion: str | None = None,
    bundle: str | None = None,
    head: str | None = None,
) -> dict:
    """By name, the parameters of a rule.

    Parameters
    ----------
    run : Run
    rule : str
    extraction, fusion, bundle, head : str, optional
        Names, if they are wildcards of the rule.
    """
    return _PARAMS[rule](run, extraction, fusion, bundle, head)


def control_bundles(run: Run) -> list[Bundle]:
    """Bundles from which windows are shuffled: at most eight, since a run may have thousands."""
    bundles = list(run.bundles.values())
    return bundles[:: -(-len(bundles) // 8)]


def _chunk(run: Run, extraction: str | None, fusion: str | None, bundle: str, *_) -> dict:
    windows = run.settings.windows
    # Only where they count, so that runs without regions or variants do not depend on them.
    regions = {}
    if run.bundles[bundle].has_regions:
        regions = {"regions": run.settings.regions.to_dict()}
    variants = {}
    if run.bundles[bundle].has_variants:
        section = run.settings.variants.to_dict()
        del section["strands"]  # changes no window
        if not any(genome.scan for genome in run.bundles[bundle].genomes):
            del section["scan"]
        variants = {"variants": section}
    # `beyond_training` changes no window.
    context = {"min": windows.context.min, "span": windows.context.span}
    return {
        "settings": {
            "code": CODE_VERSIONS["chunk"],
            "windows": {**windows.to_dict(), "context": context},
            **regions,
            **variants,
        }
    }


def _list(run: Run, *_) -> dict:
    genomes = [[*genome.row, genome.fault, genome.columns] for genome in run.all_genomes]
    return {"settings": {"code": CODE_VERSIONS["genomes"], "genomes": settings_digest(genomes)}}


def _pack(run: Run, *_) -> dict:
    return {
        "settings": {"code": CODE_VERSIONS["pack"], "packing": run.settings.packing.to_dict()},
    }


def _shuffle(run: Run, *_) -> dict:
    return {"number": run.settings.compare.control, **_pack(run)}


def _pack_burn_in(run: Run, extraction: str, *_) -> dict:
    target = {
        "code": CODE_VERSIONS["burn_in"],
        "length": longest_context(run.settings, extraction),
        "starts": run.settings.burn_in.starts,
        "strand": "-" if run.settings.windows.strands == "-" else "+",
    }
    return {"target": target, **_pack(run)}


def _embed(run: Run, extraction: str, *_) -> dict:
    return {"settings": run.embed_settings(extraction)}


def _embed_few(run: Run, extraction: str, *_) -> dict:
    """For stretches that are compared by layer. They may be shorter than `skip_first`."""
    settings = run.embed_settings(extraction)
    for key in LATER:
        settings["extraction"].pop(key, None)
    return {"settings": settings}


def _aggregate(run: Run, extraction: str, *_) -> dict:
    settings = {
        "code": CODE_VERSIONS["aggregate"],
        "embed": run.embed_settings(extraction),
        "levels": run.settings.extractions[extraction].levels,
    }
    return {"settings": settings | _variants(run)}


def _aggregate_scores(run: Run, extraction: str, *_) -> dict:
    settings = {
        "code": CODE_VERSIONS["aggregate"],
        "embed": run.embed_settings(extraction),
        "strands": run.settings.extractions[extraction].score_strands,
    }
    return {"settings": settings | _variants(run)}


def _compare_alleles(run: Run, extraction: str, *_) -> dict:
    settings = {
        "code": CODE_VERSIONS["variants"],
        "embed": run.embed_settings(extraction),
        "strands": run.settings.variants.strands,
    }
    return {"settings": settings | _variants(run)}


def _variants(run: Run) -> dict:
    """All bundles of a dataset have the same columns."""
    return {"variants": True} if run.has_variants else {}


def _compare(run: Run, *_) -> dict:
    return {"settings": {"code": CODE_VERSIONS["compare"], "rows": run.settings.compare.rows}}


def _measure(run: Run, *_) -> dict:
    return {"settings": {"code": CODE_VERSIONS["burn_in"]}}


def _fit(run: Run, extraction: str, fusion: str, *_) -> dict:
    chosen = run.settings.extractions[extraction].fusion[fusion]
    settings = {
        "code": CODE_VERSIONS["fuse"],
        "method": chosen.method,
        "layers": chosen.layers,
        "weights": chosen.weights,
    }
    if chosen.weights == "probe":
        genomes = [genome.name for bundle in run.bundles.values() for genome in bundle.genomes]
        settings |= {"probe": run.settings.probe.to_dict(), "genomes": genomes}
    return {"settings": settings}


def _fuse(run: Run, extraction: str, fusion: str, *_) -> dict:
    chosen = run.settings.extractions[extraction].fusion[fusion]
    return {
        "settings": {
            "code": CODE_VERSIONS["fuse"],
            "method": chosen.method,
            "strands": chosen.strands,
            "name": fusion,
        }
    }


def _check_labels(run: Run, extraction: str, *_) -> dict:
    chosen = run.settings.extractions[extraction]
    settings = {
        "code": CODE_VERSIONS["probe"],
        "probe": run.settings.probe.to_dict(),
        "pooling": chosen.pooling,
    }
    if chosen.skip_first:
        settings["skip_first"] = chosen.skip_first
    return {"settings": settings}


def _probe(run: Run, extraction: str, *_) -> dict:
    fusions = run.settings.extractions[extraction].fusion
    return {
        "settings": {
            "code": CODE_VERSIONS["probe"],
            "probe": run.settings.probe.to_dict(),
            "fusion": {name: fusion.to_dict() for name, fusion in fusions.items()},
        }
    }


def _save(run: Run, *_) -> dict:
    settings = {"code": CODE_VERSIONS["probe"], "probe": run.settings.probe.to_dict()}
    return {"settings": settings}


def _apply(
    run: Run, extraction: str, fusion: str | None, bundle: str | None, head: str, *_
) -> dict:
    chosen = run.settings.extractions[extraction].heads[head]
    return {
        "settings": {
            "code": CODE_VERSIONS["heads"],
            "name": head,
            "layer": chosen.layer,
            "k": chosen.k,
            "threshold": chosen.threshold,
        }
    }


def _split(run: Run, *_) -> dict:
    finetune = run.settings.finetune
    return {
        "settings": {
            "code": CODE_VERSIONS["export"],
            "split": finetune.split,
            "block": finetune.block,
            "gap": finetune.gap,
            "validation_share": finetune.validation_share,
        }
    }


def _export(run: Run, *_) -> dict:
    pad_token = run.settings.finetune.pad_token
    return {"settings": {"code": CODE_VERSIONS["export"], "pad_token": pad_token}}


def _tracks(
    run: Run, extraction: str, fusion: str | None, bundle: str | None, head: str, *_
) -> dict:
    chosen = run.settings.extractions[extraction]
    tracks, strands = None, chosen.score_strands
    if head != SCORES:
        mine = chosen.heads[head]
        fused = chosen.fusion.get(mine.layer)
        # The rows of joined strands have the strand +.
        is_joined = fused is not None and fused.strands != "keep"
        tracks, strands = mine.tracks, "mean" if is_joined else mine.track_strands
    settings = {"code": CODE_VERSIONS["tracks"], "tracks": tracks, "strands": strands}
    return {"settings": settings}


def _formats(run: Run, *_) -> dict:
    return {"settings": {"code": CODE_VERSIONS["formats"]}}


def _atlas(run: Run, *_) -> dict:
    return {"settings": {"code": CODE_VERSIONS["formats"], "rows": run.settings.atlas.rows}}


def _none(*_) -> dict:
    return {}


def _report(run: Run, *_) -> dict:
    return {"settings": {"code": CODE_VERSIONS["report"], **run.settings.report.to_dict()}}


_PARAMS = {
    "chunk_fasta": _chunk,
    "list_genomes": _list,
    "pack_tokens": _pack,
    "fetch_file": _none,
    "check_machine": _none,
    "fetch_model": _none,
    "embed_shard": _embed,
    "aggregate_bundle": _aggregate,
    "aggregate_embeddings": _aggregate,
    "score_bundle": _aggregate_scores,
    "aggregate_scores": _aggregate_scores,
    "compare_bundle": _compare_alleles,
    "compare_alleles": _compare_alleles,
    "fit_fusion": _fit,
    "fuse_bundle": _fuse,
    "fuse_layers": _fuse,
    "shuffle_windows": _shuffle,
    "embed_control": _embed_few,
    "compare_layers": _compare,
    "pack_burn_in": _pack_burn_in,
    "embed_burn_in": _embed_few,
    "measure_burn_in": _measure,
    "check_labels": _check_labels,
    "probe_layers": _probe,
    "save_probe": _save,
    "apply_bundle": _apply,
    "apply_heads": _apply,
    "write_manifest": _none,
    "split_chunks": _split,
    "export_packs": _export,
    "write_finetune": _export,
    "export_anndata": _formats,
    "export_atlas": _atlas,
    "export_lance": _formats,
    "export_bigwig": _tracks,
    "tidy_bundle": _none,
    "write_report": _report,
}
