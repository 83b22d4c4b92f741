"""The check of every reader: whether a file is of this run.

A job that a killed run left behind may replace a file by one of other settings. Every file records
the settings and inputs that it was made from, or their digest, and a reader compares them with the
latest run's.
"""

from collections.abc import Callable, Iterator
from functools import partial

from evo2_embed.analysis.probes.origin import made_from, without_paths
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.plan.jobs import Job
from evo2_embed.run.digests import Digests, UnknownDigest, mismatch, plain, recorded

# An entry of a file as it is, its name, and a function that gives what it must be.
Entries = Iterator[tuple[str, object, Callable[[], object]]]


def _digest(expected: Callable[..., str]) -> Callable[..., Entries]:
    """A check of the entry `digest`."""

    def entries(digests: Digests, found: dict, **wildcards: str) -> Entries:
        yield "settings or files", found.get("digest"), partial(expected, digests, **wildcards)

    return entries


def _with_settings(rule: str, expected: Callable[..., str]) -> Callable[..., Entries]:
    """A check of the entries `settings` and `digest`."""

    def entries(digests: Digests, found: dict, **wildcards: str) -> Entries:
        yield "settings", found.get("settings"), partial(digests.settings, rule, **wildcards)
        yield from _digest(expected)(digests, found, **wildcards)

    return entries


def _chunks(digests: Digests, found: dict, bundle: str) -> Entries:
    yield "settings or genomes", digests.fits(bundle, found), lambda: True


def _bundle(rule: str) -> Callable[..., Entries]:
    """A check of the record of a bundle."""

    def entries(digests: Digests, found: dict, extraction: str, bundle: str, **_: str) -> Entries:
        yield from _all_settings(digests, found, extraction, bundle)
        yield from _digest(partial(Digests.bundle, rule=rule))(
            digests, found, extraction=extraction, bundle=bundle
        )

    return entries


def _dataset(digests: Digests, found: dict, extraction: str, layer: str) -> Entries:
    levels = digests.run.settings.extractions[extraction].levels
    yield from _all_settings(digests, found, extraction)
    yield "levels", sorted(found["levels"]), lambda: sorted(levels)
    yield from _digest(Digests.dataset)(digests, found, extraction=extraction, layer=layer)


def _scores(digests: Digests, found: dict, extraction: str) -> Entries:
    yield from _all_settings(digests, found, extraction)
    yield from _digest(Digests.scores)(digests, found, extraction=extraction)


def _alleles(digests: Digests, found: dict, extraction: str, layer: str) -> Entries:
    yield from _all_settings(digests, found, extraction)
    yield from _digest(Digests.alleles)(digests, found, extraction=extraction, layer=layer)


def _all_settings(
    digests: Digests, found: dict, extraction: str, bundle: str | None = None
) -> Entries:
    """The settings of embeddings, windows and packs, as the record of a bundle or of a dataset has
    them; that of a dataset has the settings of the windows of its first bundle."""
    stages = {"settings": "embed_shard", "windows": "chunk_fasta", "packing": "pack_tokens"}
    of = bundle or next(iter(digests.run.bundles))
    for key, rule in stages.items():
        wanted = partial(digests.settings, rule, extraction=extraction, bundle=of)
        yield "settings", found.get(key), wanted


def _fused_bundle(
    digests: Digests, found: dict, extraction: str, fusion: str, bundle: str
) -> Entries:
    yield from _all_settings(digests, found, extraction, bundle)
    yield from _digest(Digests.fused_bundle)(
        digests, found, extraction=extraction, fusion=fusion, bundle=bundle
    )


def _fused(digests: Digests, found: dict, extraction: str, fusion: str) -> Entries:
    yield from _all_settings(digests, found, extraction)
    yield from _fusion(digests, found, extraction, fusion)


def _fusion(digests: Digests, found: dict, extraction: str, fusion: str) -> Entries:
    """What a record, or a manifest, says of a fusion."""
    entry, names = found["fusion"], {"extraction": extraction, "fusion": fusion}
    settings = digests.settings("fuse_layers", **names)
    yield "settings", {key: entry.get(key) for key in settings}, lambda: settings
    yield "parameters", entry["parameters_sha256"], partial(digests.parameters_sha256, **names)
    yield "datasets", found["digest"], partial(digests.fused, extraction, entry)


def _manifest(digests: Digests, found: dict, extraction: str) -> Entries:
    made = found["settings"]
    named = {"settings": made["embedding"], **{key: made[key] for key in ("windows", "packing")}}
    yield from _all_settings(digests, named, extraction)
    layers = {layer: entry["digest"] for layer, entry in found["layers"].items()}
    yield "datasets", layers, partial(digests.datasets, extraction)
    # Manifests of earlier versions have no entry for scores.
    scores = found.get("scores")
    yield "scores", scores and scores["digest"], partial(digests.scores, extraction)
    alleles = {layer: entry["digest"] for layer, entry in found.get("variants", {}).items()}
    yield "variants", alleles, partial(digests.all_alleles, extraction)
    heads = {name: entry["digest"] for name, entry in found.get("heads", {}).items()}
    yield "heads", heads, partial(digests.head_datasets, extraction)
    fusions = digests.run.settings.extractions[extraction].fusion
    yield "fusions", sorted(found["fusions"]), lambda: sorted(fusions)
    for name, entry in found["fusions"].items():
        yield from _fusion(digests, entry, extraction, name)


def _compared(digests: Digests, extraction: str) -> str:
    control = None
    if digests.run.jobs("embed_control", extraction=extraction):
        control = digests.embedded("embed_control", extraction, digests.shuffled())
    datasets = list(digests.datasets(extraction).values())
    return settings_digest([digests.settings("compare_layers"), datasets, control])


def _measured(digests: Digests, extraction: str) -> str:
    packs = digests.burn_in_packs(extraction)
    embedded = digests.embedded("embed_burn_in", extraction, packs)
    return settings_digest([digests.settings("measure_burn_in"), embedded])


def _labels(digests: Digests, found: dict, extraction: str) -> Entries:
    settings = digests.settings("check_labels", extraction=extraction)
    rows = {key: settings[key] for key in ("pooling", "skip_first") if key in settings}
    made = partial(made_from, settings["code"], digests.run.settings.probe, **rows)
    entries = {key: found.get(key) for key in ("settings", "labels_sha256")}
    yield "settings or labels", entries, made


def _probed(digests: Digests, found: dict, extraction: str) -> Entries:
    code = digests.settings("probe_layers", extraction=extraction)["code"]
    fusions = digests.run.settings.extractions[extraction].fusion
    probe = digests.run.settings.probe
    entries = {key: found.get(key) for key in ("settings", "labels_sha256")}
    yield (
        "settings or labels",
        entries,
        lambda: made_from(code, probe, fusion=without_paths(fusions)),
    )
    yield "datasets", found.get("datasets"), partial(digests.datasets, extraction)


def _saved(digests: Digests, found: dict, extraction: str, source: str) -> Entries:
    code, probe = digests.settings("save_probe")["code"], digests.run.settings.probe
    entries = {key: found.get(key) for key in ("settings", "labels_sha256")}
    yield "settings or labels", entries, lambda: made_from(code, probe)
    yield "datasets", found.get("dataset"), partial(digests.source, extraction, source)


def _head_bundle(digests: Digests, found: dict, extraction: str, head: str, bundle: str) -> Entries:
    yield from _all_settings(digests, found, extraction, bundle)
    yield from _digest(Digests.head_rows)(
        digests, found, extraction=extraction, head=head, bundle=bundle
    )


def _head(digests: Digests, found: dict, extraction: str, head: str) -> Entries:
    yield from _all_settings(digests, found, extraction)
    yield from _digest(Digests.head_dataset)(digests, found, extraction=extraction, head=head)


def _training_set(expected: Callable[..., str]) -> Callable[..., Entries]:
    """A check of a shard of the training set, or of its summary."""

    def entries(digests: Digests, found: dict, **wildcards: str) -> Entries:
        split, export = (digests.settings(rule) for rule in ("split_chunks", "export_packs"))
        yield "settings", found.get("settings"), lambda: {**export, "split": split}
        yield from _digest(expected)(digests, found, **wildcards)

    return entries


def _embedded(rule: str, packs: Callable[..., str]) -> Callable[..., Entries]:
    def expected(digests: Digests, extraction: str, **wildcards: str) -> str:
        made_from = packs(digests, extraction=extraction, **wildcards)
        return digests.embedded(rule, extraction, made_from)

    return _with_settings(rule, expected)


# By rule. `check_machine` and `fetch_model` depend on no settings that results depend on.
_EXPECTED: dict[str, Callable[..., Entries]] = {
    "chunk_fasta": _chunks,
    "list_genomes": _with_settings("list_genomes", Digests.genomes),
    "pack_tokens": _with_settings("pack_tokens", Digests.packs),
    "shuffle_windows": _with_settings("shuffle_windows", Digests.shuffled),
    "pack_burn_in": _with_settings("pack_burn_in", Digests.burn_in_packs),
    "embed_shard": _embedded("embed_shard", lambda o, bundle, shard, **_: o.packs(bundle, shard)),
    "embed_control": _embedded("embed_control", lambda digests, **_: digests.shuffled()),
    "embed_burn_in": _embedded("embed_burn_in", Digests.burn_in_packs),
    "aggregate_bundle": _bundle("aggregate_bundle"),
    "aggregate_embeddings": _dataset,
    "score_bundle": _bundle("score_bundle"),
    "aggregate_scores": _scores,
    "compare_bundle": _bundle("compare_bundle"),
    "compare_alleles": _alleles,
    "fit_fusion": _digest(Digests.parameters),
    "fuse_bundle": _fused_bundle,
    "fuse_layers": _fused,
    "write_manifest": _manifest,
    "compare_layers": _with_settings("compare_layers", _compared),
    "measure_burn_in": _with_settings("measure_burn_in", _measured),
    "check_labels": _labels,
    "probe_layers": _probed,
    "save_probe": _saved,
    "apply_bundle": _head_bundle,
    "apply_heads": _head,
    "split_chunks": _with_settings("split_chunks", Digests.blocks),
    "export_packs": _training_set(Digests.exported),
    "write_finetune": _training_set(Digests.training_set),
}


def check_origin(job: Job, digests: Digests) -> None:
    """Check the file of a job, the first that its rule names, if the file exists.

    Raises
    ------
    InputError
        If it was made from other settings or files than those of the run.
    """
    path = digests.results / next(iter(job.outputs.values()))
    if job.rule.name not in _EXPECTED or not path.exists():
        return  # its reader says that it is missing
    found = recorded(path)
    if not found:
        return  # its reader says that it is damaged
    for what, value, expected in _EXPECTED[job.rule.name](digests, found, **job.wildcards):
        try:
            if value != plain(expected()):
                raise InputError(mismatch(path, what))
        except UnknownDigest:
            continue
