"""The rules of the workflow: the outputs of each rule, and its jobs in a run.

`make status`, `make plan`, the report and the rules themselves read this one table.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

from evo2_embed.io.digests import settings_digest
from evo2_embed.io.remote import COPIES, address_of
from evo2_embed.plan.bundles import Bundle
from evo2_embed.settings.extraction import Model
from evo2_embed.settings.settings import Settings

ALL_LAYERS = "all"  # a value of the wildcard `layers`


@dataclass(frozen=True)
class Rule:
    """A rule of the workflow.

    Attributes
    ----------
    name : str
    stage : str
        Its file: `workflow/rules/{stage}.smk`.
    outputs : dict of str to str
        By name, its files relative to `results/`, with wildcards in braces. The wildcards give the
        number of jobs. The first file is complete only when the job is complete. `layers` is
        `ALL_LAYERS` for a bundle of one shard, which has little work, and else one of the layers.
    needs : tuple of str
        Keys of the configuration that must all be set for the rule to have jobs.
    of_extraction : str
        What an extraction must have for the rule to have jobs for it: the values of the wildcard
        `layer` or `layers`, if the rule has it.
    of_bundle : str
        What a bundle must have for the rule to have jobs for it; if the rule has no wildcard
        `bundle`, what at least one bundle must have.
    """

    name: str
    stage: str
    outputs: dict[str, str]
    needs: tuple[str, ...] = ()
    of_extraction: str = "outputs"
    of_bundle: str = ""


_SHARD = "shards/{extraction}/{bundle}/{shard}"
_BUNDLE = "bundles/{extraction}/{bundle}"
_COMPARE = ("compare.rows",)
_CONTROL = ("compare.rows", "compare.control")
_BURN_IN = ("burn_in.length",)
_LAYERS = "layers"
_FINETUNE = ("exports.finetune",)

# In the order of the data, except the training set.
_RULES = (
    Rule("chunk_fasta", "chunk", {"chunks": "chunks/{bundle}.parquet"}),
    Rule("list_genomes", "genomes", {"table": "genomes.parquet", "skipped": "skipped.tsv"}),
    Rule("pack_tokens", "pack", {"packs": "packs/{bundle}/{shard}.parquet"}),
    Rule("fetch_file", "inputs", {"file": "inputs/{file}"}),
    Rule("check_machine", "machine", {"record": "machine/{model}.json"}),
    Rule("fetch_model", "model", {"record": "models/{model}.json"}),
    Rule(
        "embed_shard", "embed", {"record": f"{_SHARD}/shard.json", "speed": f"{_SHARD}/speed.json"}
    ),
    Rule(
        "aggregate_bundle",
        "aggregate",
        {"record": f"{_BUNDLE}/{{layers}}.json", "shards": f"{_BUNDLE}/shards/{{layers}}.json"},
    ),
    Rule(
        "aggregate_embeddings",
        "aggregate",
        {"record": "embeddings/{extraction}/{layer}.json"},
        of_extraction=_LAYERS,
    ),
    Rule("score_bundle", "aggregate", {"record": f"{_BUNDLE}/scores.json"}, (), "scores"),
    Rule(
        "aggregate_scores",
        "aggregate",
        {"record": "embeddings/{extraction}/scores.json"},
        of_extraction="scores",
    ),
    Rule(
        "compare_bundle",
        "variants",
        {"record": f"{_BUNDLE}/variants/{{layers}}.json"},
        of_extraction="allele_layers",
        of_bundle="has_variants",
    ),
    Rule(
        "compare_alleles",
        "variants",
        {"record": "variants/{extraction}/{layer}.json"},
        of_extraction="allele_layers",
        of_bundle="has_variants",
    ),
    Rule("fit_fusion", "fusion", {"parameters": "fusions/{extraction}/{fusion}.npz"}),
    Rule("fuse_bundle", "fusion", {"record": f"{_BUNDLE}/fusions/{{fusion}}.json"}),
    Rule("fuse_layers", "fusion", {"record": "embeddings/{extraction}/{fusion}.json"}),
    Rule("shuffle_windows", "compare", {"packs": "controls/packs.parquet"}, _CONTROL, _LAYERS),
    Rule(
        "embed_control",
        "compare",
        {"record": "controls/{extraction}/shard.json", "speed": "controls/{extraction}/speed.json"},
        _CONTROL,
        _LAYERS,
    ),
    Rule(
        "compare_layers",
        "compare",
        {"comparison": "comparisons/{extraction}.json"},
        _COMPARE,
        _LAYERS,
    ),
    Rule(
        "pack_burn_in",
        "burn_in",
        {"packs": "burn_in/{extraction}.packs.parquet"},
        _BURN_IN,
        _LAYERS,
    ),
    Rule(
        "embed_burn_in",
        "burn_in",
        {"record": "burn_in/{extraction}/shard.json", "speed": "burn_in/{extraction}/speed.json"},
        _BURN_IN,
        _LAYERS,
    ),
    Rule(
        "measure_burn_in",
        "burn_in",
        {"measured": "burn_in/{extraction}.json"},
        _BURN_IN,
        _LAYERS,
    ),
    Rule(
        "check_labels",
        "probe",
        {"record": "probes/{extraction}.labels.json"},
        ("probe",),
        _LAYERS,
    ),
    Rule(
        "probe_layers",
        "probe",
        {"record": "probes/{extraction}.json", "table": "probes/{extraction}.parquet"},
        ("probe",),
        _LAYERS,
    ),
    Rule(
        "save_probe",
        "probe",
        {"head": "probes/{extraction}/{source}.safetensors"},
        ("probe",),
        "probed",
    ),
    Rule("apply_bundle", "heads", {"record": f"{_BUNDLE}/heads/{{head}}.json"}, (), "heads"),
    Rule("apply_heads", "heads", {"record": "heads/{extraction}/{head}.json"}, (), "heads"),
    Rule("write_manifest", "aggregate", {"manifest": "embeddings/{extraction}/manifest.json"}),
    Rule("split_chunks", "finetune", {"blocks": "export/blocks.parquet"}, _FINETUNE),
    Rule("export_packs", "finetune", {"record": "export/{bundle}/{shard}/export.json"}, _FINETUNE),
    Rule(
        "write_finetune",
        "finetune",
        {"summary": "finetune/summary.json", "card": "finetune/README.md"},
        _FINETUNE,
    ),
    *(
        Rule(
            f"export_{name}",
            "export",
            {
                "record": f"export/{name}/{{extraction}}/{{dataset}}.json",
                "exported": f"export/{name}/{{extraction}}/{{dataset}}.{ending}",
            },
            (f"exports.{name}",),
            _LAYERS,
        )
        for name, ending in (("anndata", "h5ad"), ("atlas", "parquet"), ("lance", "lance"))
    ),
    Rule(
        "export_bigwig",
        "tracks",
        {"record": "export/bigwig/{extraction}/{head}.json"},
        ("exports.bigwig",),
        "drawn",
    ),
    Rule("tidy_bundle", "tidy", {"record": "tidied/{bundle}.json"}, ("keeps_datasets",)),
    Rule(
        "write_report",
        "report",
        {
            "report": "report.html",
            "summary": "summary.txt",
            "genomes": "multiqc/evo2_embed_genomes_mqc.json",
            "layers": "multiqc/evo2_embed_layers_mqc.json",
        },
    ),
)
RULES = {rule.name: rule for rule in _RULES}


@dataclass(frozen=True)
class Job:
    """A job of a rule: the values of its wildcards, in their order in the output."""

    rule: Rule
    wildcards: dict[str, str]

    @property
    def name(self) -> str:
        """For example `embed_shard default/lambda/00000`."""
        return " ".join([self.rule.name, *filter(None, ["/".join(self.wildcards.values())])])

    @property
    def log(self) -> str:
        """Its log, relative to `logs/`."""
        return f"{self.name.replace(' ', '/', 1)}.log"

    @property
    def benchmark(self) -> str:
        """Time and memory of the finished job, relative to `benchmarks/`."""
        return f"{self.log.removesuffix('.log')}.tsv"

    @property
    def outputs(self) -> dict[str, str]:
        """By name, its files relative to `results/`."""
        return {name: path.format_map(self.wildcards) for name, path in self.rule.outputs.items()}


def run_jobs(
    rule: Rule, settings: Settings, bundles: dict[str, Bundle], **given: str
) -> Iterator[Job]:
    """The jobs of a rule in a run.

    Parameters
    ----------
    rule : Rule
    settings : Settings
        Complete.
    bundles : dict of str to Bundle
    **given : str
        Values of wildcards: only jobs with them. Wildcards that the rule does not have are ignored.
    """
    if not all(attrgetter(key)(settings) for key in rule.needs):
        return
    if not any(getattr(each, rule.of_extraction) for each in settings.extractions.values()):
        return
    names = re.findall(r"{(\w+)}", next(iter(rule.outputs.values())))
    if rule.of_bundle and "bundle" not in names and not any(_of_rule(rule, bundles.values())):
        return
    # Thousands of jobs each ask for those of their own bundle.
    if given.get("bundle") in bundles:
        bundles = {given["bundle"]: bundles[given["bundle"]]}
    chosen: list[dict[str, str]] = [{}]
    for name in names:
        chosen = [
            {**wildcards, name: value}
            for wildcards in chosen
            for value in _values(name, wildcards, settings, bundles, rule)
            if _is_given(name, value, given)
        ]
    for wildcards in chosen:
        yield Job(rule, wildcards)


def _is_given(name: str, value: str, given: dict[str, str]) -> bool:
    """Whether a wildcard may have a value; jobs of all layers are also those of a given layer."""
    if name == "layers" and "layer" in given:
        return value in (ALL_LAYERS, given["layer"])
    return given.get(name, value) == value


def job_of(path: str, settings: Settings, bundles: dict[str, Bundle]) -> Job | None:
    """The job of a run that makes a file.

    Parameters
    ----------
    path : str
        Relative to `results/`.
    settings : Settings
        Complete.
    bundles : dict of str to Bundle

    Returns
    -------
    Job or None
        None if the run has no job that makes it.
    """
    for rule in RULES.values():
        for pattern in rule.outputs.values():
            match = _expression(pattern).fullmatch(path)
            if match and _is_of_run(match.groupdict(), settings, bundles, rule):
                return Job(rule, match.groupdict())
    return None


@cache
def _expression(pattern: str) -> re.Pattern:
    """A regular expression for the paths of an output."""
    parts = re.split(r"{(\w+)}", pattern)
    names = [f"(?P<{part}>[^/]+)" if i % 2 else re.escape(part) for i, part in enumerate(parts)]
    return re.compile("".join(names))


def _is_of_run(
    wildcards: dict[str, str], settings: Settings, bundles: dict[str, Bundle], rule: Rule
) -> bool:
    """Whether a run has these values of wildcards."""
    known = dict(wildcards)
    shard = known.pop("shard", None)  # there may be many
    if "bundle" in known:  # and many of these
        if known["bundle"] not in bundles:
            return False
        bundles = {known["bundle"]: bundles[known["bundle"]]}
    if any(
        value not in _values(name, known, settings, bundles, rule) for name, value in known.items()
    ):
        return False
    return shard is None or (shard.isdecimal() and int(shard) < bundles[known["bundle"]].n_shards)


def count_jobs(settings: Settings, bundles: dict[str, Bundle]) -> dict[str, int]:
    """Jobs by rule, for rules with jobs."""
    counts = {
        name: sum(1 for _ in run_jobs(rule, settings, bundles)) for name, rule in RULES.items()
    }
    return {name: number for name, number in counts.items() if number}


def fetched_files(settings: Settings, bundles: dict[str, Bundle]) -> list[str]:
    """Copies of files at addresses that jobs make: FASTA files and checkpoints, relative to
    `COPIES`."""
    files = [genome.fasta for bundle in bundles.values() for genome in bundle.genomes]
    files += [each.model.checkpoint or "" for each in settings.extractions.values()]
    return [path.removeprefix(f"{COPIES}/") for path in dict.fromkeys(files) if address_of(path)]


def model_key(model: Model) -> str:
    """Name of a model's record."""
    if model.checkpoint is None:
        return model.name
    return f"{model.name}-{settings_digest(model.checkpoint)[:8]}"


def _values(
    wildcard: str,
    known: dict[str, str],
    settings: Settings,
    bundles: dict[str, Bundle],
    rule: Rule,
) -> list[str]:
    """Values of a wildcard, given the values of the wildcards before it."""
    extractions = settings.extractions
    if wildcard == "bundle":
        return [bundle.name for bundle in _of_rule(rule, bundles.values())]
    if wildcard == "file":
        return fetched_files(settings, bundles)
    if wildcard == "shard":
        return bundles[known["bundle"]].shards
    if wildcard == "extraction":
        return [name for name, each in extractions.items() if getattr(each, rule.of_extraction)]
    if wildcard == "model":
        return list(dict.fromkeys(model_key(e.model) for e in extractions.values()))
    extraction = extractions[known["extraction"]]
    if wildcard == "layers":
        # An extraction of scores alone has a job too, for what the report says of its shards.
        layers = extraction.layers if rule.of_extraction == "outputs" else extraction.allele_layers
        few = bundles[known["bundle"]].n_shards == 1 or not layers
        return [ALL_LAYERS] if few else list(layers)
    if wildcard == "dataset":
        return [*extraction.layers, *extraction.fusion]
    key = "fusion" if wildcard == "fusion" else rule.of_extraction
    return list(getattr(extraction, key))


def _of_rule(rule: Rule, bundles: Iterable[Bundle]) -> Iterator[Bundle]:
    """The bundles for which a rule has jobs."""
    return (each for each in bundles if not rule.of_bundle or getattr(each, rule.of_bundle))
