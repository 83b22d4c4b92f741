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
from evo2_embed.genomes.sample_sheet import Genome, file_faults, read_sheet
from evo2_embed.io.errors import InputError
from evo2_embed.settings.sections import Extraction, Model, RegionSettings, Settings

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
    genomes, faults = _check_sheet(settings.genomes, settings.regions)
    if settings.variants.scan:
        genomes = [replace(genome, scan=bool(genome.regions)) for genome in genomes]
    # Regions that cannot be read have no rows.
    faults += [] if faults else region_row_faults(settings, genomes)
    faults += variant_faults(settings, genomes)
    in_windows = settings.regions.rows == "window"
    is_tiled = any(not g.has_variants and (in_windows or not g.regions) for g in genomes)
    faults += settings_faults(settings, [genome.name for genome in genomes], is_tiled)
    if faults:
        raise InputError("\n".join(faults))
    return settings, genomes


def _check_sheet(path: str, regions: RegionSettings | None) -> tuple[list[Genome], list[str]]:
    """The rows of the sheet, and faults of it and its files; without settings, files of regions are
    not read."""
    genomes, faults = read_sheet(path)
    faults += file_faults(path, genomes)
    faults += [] if faults else variant_file_faults(genomes)
    return genomes, faults + (region_faults(genomes, regions) if regions else [])


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
        faults += _check_sheet(config["genomes"], section)[1]
    extractions, model = config.get("extractions"), config.get("model", {})
    for name, values in extractions.items() if isinstance(extractions, dict) else ():
        if schema_faults({"genomes": "-", "model": model, "extractions": {name: values}}):
            continue
        extraction = complete_extraction(Extraction.from_dict(values), Model.from_dict(model))
        faults += model_faults(f"extractions.{name}", extraction)
    return faults
