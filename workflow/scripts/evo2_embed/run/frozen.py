"""A run: settings and plan, made once at its start and frozen for its jobs."""

import re
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import yaml

from evo2_embed import CODE_VERSIONS
from evo2_embed.config.resolve import resolve
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import atomic_path
from evo2_embed.plan.advice import output_fault
from evo2_embed.plan.bundles import Bundle, plan_bundles
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.plan.jobs import Job, model_key, run_jobs
from evo2_embed.plan.rules import RULES
from evo2_embed.run.paths import one_form
from evo2_embed.settings.extraction import Model
from evo2_embed.settings.settings import Settings

# The C versions, if PyYAML has them: a sheet can have tens of thousands of rows.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

# File of the frozen run, and the cache of FASTA indexes (`fasta.index_folder`).
RUN_CONFIG = "results/run_config.yaml"
INDEXES = "results/indexes"

# Bundles in the file; settings on which the bundle of a genome depends; the names of bundles, and
# of genomes, which are indented.
_BUNDLES = ("unused", "bundles")
_DIVIDE = ("windows", "regions", "variants", "sharding")
_NAME = re.compile(r"^(  )?- name: ['\"]?([^'\"\n]*)", re.MULTILINE)
# Keys of a genome that the file has only if they have a value.
_OFTEN_NONE = ("full_names", "fault", "columns")

# Keys of an extraction that an earlier version of the workflow did not have.
LATER = ("scores", "skip_first")


@dataclass(frozen=True)
class Run:
    """Complete settings, and bundles by name in the order of the sheet. `unused`: bundles that have
    only genomes that cannot be used; a name that is there twice has one without a name."""

    settings: Settings
    bundles: dict[str, Bundle]
    unused: tuple[Bundle, ...] = ()

    @property
    def left_out(self) -> list[Genome]:
        """Genomes that were found to be bad when the run started."""
        return [g for bundle in (*self.bundles.values(), *self.unused) for g in bundle.left_out]

    @property
    def all_genomes(self) -> list[Genome]:
        """All genomes of the sheet, by bundle; bundles without a usable one are the last."""
        return [
            genome
            for bundle in (*self.bundles.values(), *self.unused)
            for genome in (*bundle.genomes, *bundle.left_out)
        ]

    @property
    def genome_names(self) -> list[str]:
        """Names of all genomes of the sheet, also of those that are left out."""
        return list(dict.fromkeys(genome.name for genome in self.all_genomes))

    @cached_property
    def has_variants(self) -> bool:
        """Whether a genome has a file of variants."""
        return any(bundle.has_variants for bundle in self.bundles.values())

    @property
    def model_keys(self) -> dict[str, str]:
        """By extraction, the name of its model's record."""
        return {
            name: model_key(extraction.model)
            for name, extraction in self.settings.extractions.items()
        }

    @property
    def models(self) -> dict[str, Model]:
        """By that name, the model."""
        models = [extraction.model for extraction in self.settings.extractions.values()]
        return {model_key(model): model for model in models}

    def jobs(self, rule: str, **given: str) -> list[Job]:
        """The jobs of a rule that this run has; with `given`, those with these wildcards."""
        return list(run_jobs(RULES[rule], self.settings, self.bundles, **given))

    def embed_settings(self, extraction: str) -> dict:
        """Settings that change an extraction's embeddings, without packs and weights; keys sorted.

        The path of a checkpoint is not included, since files carry its digest. Levels, fusions,
        heads and the strands of scores are not included: they are made from embeddings and scores.
        Keys of `LATER` are included if they are set, so that finished runs without them are kept.
        """
        settings = self.settings.extractions[extraction].to_dict()
        del settings["levels"], settings["fusion"], settings["heads"]
        del settings["model"]["checkpoint"], settings["score_strands"]
        for key in LATER:
            if not settings[key]:
                del settings[key]
        return {
            "code": CODE_VERSIONS["embed"],
            "cpu_threads": self.settings.runtime.cpu_threads,
            "extraction": settings,
        }


def plan_run(config: dict, limited: bool = True) -> Run:
    """Check a configuration and its sheet, and plan the run.

    Parameters
    ----------
    config : dict
        As read from `config.yaml`.
    limited : bool
        Whether to refuse a run that would exceed `max_output_gb`.

    Raises
    ------
    InputError
        One line for every fault.
    """
    settings, genomes = one_form(*resolve(config), RUN_CONFIG)
    genomes, twins = _without_twins(genomes)
    bundles = plan_bundles(genomes, settings, earlier_bundles(RUN_CONFIG, settings))
    unused = [bundle for bundle in bundles if not bundle.genomes]
    unused += [Bundle("", (), 1, tuple(twins))] if twins else []
    used = {bundle.name: bundle for bundle in bundles if bundle.genomes}
    run = Run(settings, used, tuple(unused))
    if limited and settings.max_output_gb is not None:
        fault = output_fault(settings, estimate_run(settings, run.bundles, INDEXES))
        if fault:
            raise InputError(fault)
    return run


def _without_twins(genomes: list[Genome]) -> tuple[list[Genome], list[Genome]]:
    """Genomes that are the first of their name, and the others."""
    first, twins = {}, []
    for genome in genomes:
        if first.setdefault(genome.name.lower(), genome) is not genome:
            twins.append(genome)
    return list(first.values()), twins


def freeze(run: Run, path: str) -> None:
    """Write a run for its jobs."""
    value = {"settings": run.settings.to_dict()}
    for key, bundles in (("unused", run.unused), ("bundles", run.bundles.values())):
        value[key] = [
            {
                "name": b.name,
                "n_shards": b.n_shards,
                "genomes": [_as_dict(genome) for genome in b.genomes],
                "left_out": [_as_dict(genome) for genome in b.left_out],
            }
            for b in bundles
        ]
    value["digest"] = settings_digest(value)
    with atomic_path(path) as temporary:
        temporary.write_text(
            "# Settings and plan of the latest run, with all defaults. Written when it started.\n"
            + yaml.dump(value, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=1 << 20),
            encoding="utf-8",
        )


def _as_dict(genome: Genome) -> dict:
    values = asdict(genome)
    return {key: value for key, value in values.items() if key not in _OFTEN_NONE or value}


def differs(run: Run, path: str) -> bool:
    """Whether a file of `freeze` exists and is of another run; an edited one is."""
    try:
        return Path(path).exists() and load_frozen(path) != run
    except InputError:
        return True


def load_frozen(path: str) -> Run:
    """Read a file of `freeze`."""
    try:
        value = yaml.load(Path(path).read_text(encoding="utf-8"), _LOADER)
        digest = value.pop("digest")
    except (OSError, yaml.YAMLError, AttributeError, KeyError) as error:
        raise InputError(f"{path}: the run's frozen settings cannot be read ({error})") from None
    if digest != settings_digest(value):
        raise InputError(
            f"{path}: was edited; it belongs to the run, edit config/config.yaml instead"
        )
    # Runs of earlier versions left out no genome.
    unused, bundles = ([_bundle(each) for each in value.get(key, [])] for key in _BUNDLES)
    settings = Settings.from_dict(value["settings"])
    return Run(settings, {bundle.name: bundle for bundle in bundles}, tuple(unused))


def _bundle(value: dict) -> Bundle:
    used, bad = (tuple(Genome(**g) for g in value.get(key, [])) for key in ("genomes", "left_out"))
    return Bundle(value["name"], used, value["n_shards"], bad)


def frozen_settings(path: str) -> Settings:
    """The settings in a file of `freeze` that was checked: fast, whatever the number of genomes."""
    return _head(path)[0]


def _head(path: str) -> tuple[Settings, str]:
    """The settings in a file of `freeze`, and its text."""
    text = Path(path).read_text(encoding="utf-8")
    # Bundles follow; earlier versions had no entry of those that are not used.
    head = re.split("^(?:unused|bundles):", text, maxsplit=1, flags=re.MULTILINE)[0]
    return Settings.from_dict(yaml.load(head, _LOADER)["settings"]), text


def earlier_bundles(path: str, settings: Settings) -> dict[str, str]:
    """The bundle of each genome in the run that a file of `freeze` is of; none if the file is
    missing, or of a run that was divided by other settings."""
    try:
        known, text = _head(path)
        if any(getattr(known, key) != getattr(settings, key) for key in _DIVIDE):
            return {}
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return {}
    # Not a YAML parser: it takes seconds for thousands of genomes.
    found, bundle = {}, ""
    for is_genome, name in _NAME.findall(text):
        if not is_genome:
            bundle = name
        elif bundle:
            found.setdefault(name, bundle)
    return found
