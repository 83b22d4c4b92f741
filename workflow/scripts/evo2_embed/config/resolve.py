"""A configuration to settings: checked against its schema, completed, checked across its keys.

All errors of the user are found here, before any job, and shown at once, one line per fault.
"""

from dataclasses import replace

from evo2_embed.config.complete import complete, complete_extraction
from evo2_embed.config.faults import model_faults, settings_faults
from evo2_embed.config.region_rows import region_row_faults
from evo2_embed.config.schema import schema_faults
from evo2_embed.config.variants import variant_faults
from evo2_embed.genomes.fit import region_faults
from evo2_embed.genomes.fit import variant_faults as variant_file_faults
from evo2_embed.genomes.sample_sheet import Genome, read_sheet, twin_faults
from evo2_embed.genomes.sheet_files import file_faults
from evo2_embed.io.errors import InputError
from evo2_embed.io.remote import prepare
from evo2_embed.settings.extraction import Extraction, Model
from evo2_embed.settings.settings import Settings
from evo2_embed.settings.windows import RegionSettings

_ANY = {"any": {"layers": "all"}}  # valid extractions


def resolve(config: dict) -> tuple[Settings, list[Genome]]:
    """Check a configuration and its sheet, and fill in every default.

    Parameters
    ----------
    config : dict
        As read from `config.yaml`.

    Returns
    -------
    settings : Settings
        Complete: each extraction has its model and the names of its layers.
    genomes : list of Genome
        The rows of the sheet.

    Raises
    ------
    InputError
        One line for every fault.
    """
    faults = schema_faults(config)
    if faults:
        raise InputError("\n".join(faults + _faults_beside(config)))
    settings = complete(Settings.from_dict(config))
    genomes, faults = _check_sheet(
        settings.genomes, settings.regions, settings.record_names == "full"
    )
    if settings.variants.scan:
        genomes = [replace(genome, scan=bool(genome.regions)) for genome in genomes]
    bad = [genome for genome in genomes if genome.fault]
    if settings.on_bad_genome == "stop":
        faults += _lines(bad)
    elif bad and len(bad) == len(genomes):
        faults += _lines(bad) + ["on_bad_genome: skip: no genome is left"]
    usable = [genome for genome in genomes if not genome.fault]
    # Regions that cannot be read have no rows.
    faults += [] if faults else region_row_faults(settings, usable)
    faults += variant_faults(settings, genomes)
    in_windows = settings.regions.rows == "window"
    is_tiled = any(not g.has_variants and (in_windows or not g.regions) for g in genomes)
    faults += settings_faults(settings, [genome.name for genome in genomes], is_tiled)
    if faults:
        raise InputError("\n".join(faults))
    return settings, genomes


def _check_sheet(
    path: str, regions: RegionSettings | None, full_names: bool
) -> tuple[list[Genome], list[str]]:
    """The rows of the sheet, of which some have a `fault`, and other faults of the sheet. Without
    settings, files of regions are not read."""
    genomes, faults = read_sheet(path, full_names)
    found = [[line] if line else [] for line in twin_faults(path, genomes)]
    prepare([file for genome in genomes for file in genome.files])
    for genome, mine in zip(genomes, found, strict=True):
        mine += file_faults(path, genome)
    checks = [variant_file_faults(genomes), region_faults(genomes, regions) if regions else []]
    for lines in checks:
        for mine, line in zip(found, lines, strict=False):
            mine += [line] if line and not mine else []
    genomes = [
        replace(genome, fault="\n".join(mine)) if mine else genome
        for genome, mine in zip(genomes, found, strict=True)
    ]
    return genomes, faults


def _lines(bad: list[Genome]) -> list[str]:
    """The faults of genomes, each once: they may share a file."""
    return list(dict.fromkeys(line for genome in bad for line in genome.fault.split("\n")))


def _faults_beside(config: dict) -> list[str]:
    """Faults that can be found in spite of those of the schema: of the sheet, and of the layers of
    extractions that are valid themselves."""
    if not isinstance(config, dict):
        return []
    faults = []
    regions = config.get("regions", {})
    valid = not schema_faults({"genomes": "-", "regions": regions, "extractions": _ANY})
    if isinstance(config.get("genomes"), str):
        section = RegionSettings.from_dict(regions) if valid else None
        genomes, others = _check_sheet(
            config["genomes"], section, config.get("record_names") == "full"
        )
        faults += others
        if config.get("on_bad_genome") != "skip":
            faults += _lines([genome for genome in genomes if genome.fault])
    extractions, model = config.get("extractions"), config.get("model", {})
    for name, values in extractions.items() if isinstance(extractions, dict) else ():
        if schema_faults({"genomes": "-", "model": model, "extractions": {name: values}}):
            continue
        extraction = complete_extraction(Extraction.from_dict(values), Model.from_dict(model))
        faults += model_faults(f"extractions.{name}", extraction)
    return faults
