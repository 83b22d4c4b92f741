"""The jobs of each rule in a run, and the job that makes a file."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

from evo2_embed.io.digests import settings_digest
from evo2_embed.io.remote import COPIES, address_of
from evo2_embed.plan.bundles import Bundle
from evo2_embed.plan.rules import ALL_LAYERS, RULES, Rule
from evo2_embed.settings.extraction import Model
from evo2_embed.settings.settings import Settings


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
