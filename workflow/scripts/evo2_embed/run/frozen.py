"""A run: settings and plan, made once at its start and frozen for its jobs."""

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
from evo2_embed.plan.rules import RULES, Job, model_key, run_jobs
from evo2_embed.run.paths import one_form
from evo2_embed.settings.sections import Model, Settings

# The C versions, if PyYAML has them: a sheet can have tens of thousands of rows.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

# File of the frozen run, and the cache of FASTA indexes (`fasta.index_folder`).
RUN_CONFIG = "results/run_config.yaml"
INDEXES = "results/indexes"

# Keys of an extraction that an earlier version of the workflow did not have.
LATER = ("scores", "skip_first")


@dataclass(frozen=True)
class Run:
    """Complete settings, and bundles by name in the order of the sheet."""

    settings: Settings
    bundles: dict[str, Bundle]

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

        The path of a checkpoint is not included, since files carry its digest. Levels, fusions and
        the strands of scores are not included, since they are made from embeddings and scores.
        Keys of `LATER` are included if they are set, so that finished runs without them are kept.
        """
        settings = self.settings.extractions[extraction].to_dict()
        del settings["levels"], settings["fusion"], settings["model"]["checkpoint"]
        del settings["score_strands"]
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
    bundles = plan_bundles(genomes, settings)
    run = Run(settings, {bundle.name: bundle for bundle in bundles})
    if limited and settings.max_output_gb is not None:
        fault = output_fault(settings, estimate_run(settings, run.bundles, INDEXES))
        if fault:
            raise InputError(fault)
    return run


def freeze(run: Run, path: str) -> None:
    """Write a run for its jobs."""
    bundles = [
        {"name": b.name, "n_shards": b.n_shards, "genomes": [asdict(g) for g in b.genomes]}
        for b in run.bundles.values()
    ]
    value = {"settings": run.settings.to_dict(), "bundles": bundles}
    value["digest"] = settings_digest(value)
    with atomic_path(path) as temporary:
        temporary.write_text(
            "# Settings and plan of the latest run, with all defaults. Written when it started.\n"
            + yaml.dump(value, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=1 << 20),
            encoding="utf-8",
        )


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
    bundles = [
        Bundle(b["name"], tuple(Genome(**g) for g in b["genomes"]), b["n_shards"])
        for b in value["bundles"]
    ]
    return Run(Settings.from_dict(value["settings"]), {bundle.name: bundle for bundle in bundles})
