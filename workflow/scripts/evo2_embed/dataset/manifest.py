"""The manifest of an extraction: its datasets, their settings and their inputs."""

from evo2_embed import __version__
from evo2_embed.dataset.genomes import further_columns
from evo2_embed.genomes.skipped import read_skipped
from evo2_embed.io.files import read_json, write_json
from evo2_embed.io.tables import CHUNKS, open_table, table_metadata

_OF_LAYER = ("rows", "width", "dtype", "parts", "levels", "digest", "self_check")
_OF_SCORES = ("rows", "strands", "bits_per_base", "parts", "digest", "self_check")
_OF_ALLELES = ("rows", "strands", "parts", "digest")
# Of datasets with rows of variants, and of those of variants that have vectors.
_IF_PRESENT = ("variants", "width")
_OF_HEAD = ("rows", "width", "parts", "head", "digest")
_OF_FUSION = ("rows", "width", "dtype", "parts", "fusion", "layers", "digest")


def write_manifest(
    chunks: list[str],
    layers: dict[str, str],
    fusions: dict[str, str],
    scores: str | None,
    variants: dict[str, str],
    heads: dict[str, str],
    genomes: str,
    skipped: str,
    output: str,
) -> dict:
    """Write `manifest.json`. It has no entries that differ between identical runs.

    Parameters
    ----------
    chunks : list of str
        Chunk tables of all bundles, in the order of the sheet.
    layers : dict of str to str
        Per layer, the record written by `join_layer`.
    fusions : dict of str to str
        Per fusion, the record written by `fuse_layers`.
    scores : str, optional
        The record written by `join_scores`. There are layers, or scores, or both.
    variants : dict of str to str
        Per layer, or of `scores`, the record written by `join_alleles`.
    heads : dict of str to str
        Per head, the record written by `apply_heads`.
    genomes, skipped : str
        The table of genomes, and that of genomes that are left out.
    output : str
    """
    tables = [table_metadata(open_table(path, CHUNKS)) for path in chunks]
    records = {layer: read_json(path) for layer, path in layers.items()}
    fused = {name: read_json(path) for name, path in fusions.items()}
    scored = scores and read_json(scores)
    first = next(iter(records.values()), scored)
    datasets = [*records.values(), *fused.values(), *([scored] if scored else [])]
    manifest = {
        "workflow": __version__,
        "model": first["model"],
        "checkpoint_sha256": first["checkpoint_sha256"],
        "precision": first["precision"],
        "pooling": first["pooling"],
        "engine": first["engine"],
        "packages": first["packages"],
        "settings": {
            "windows": first["windows"],
            "packing": first["packing"],
            "embedding": first["settings"],
        },
        "genomes": [
            {**entry, "counts": table["genomes"][entry["genome"]]}
            for table in tables
            for entry in table["inputs"]
            if entry["genome"] not in table.get("skipped", {})
        ],
        "layers": {layer: _entry(record, _OF_LAYER) for layer, record in records.items()},
        "fusions": {name: _entry(record, _OF_FUSION) for name, record in fused.items()},
        "scores": scored and _entry(scored, _OF_SCORES),
        "rows": sum(record["rows"] for record in datasets),
    }
    columns = further_columns(genomes)
    for entry in manifest["genomes"] if columns else []:
        entry["columns"] = columns[entry["genome"]]
    left_out = read_skipped(skipped)
    if left_out:
        keys = ("genome", "file", "reason")
        manifest["skipped"] = [{key: getattr(each, key) for key in keys} for each in left_out]
    if variants:
        compared = {layer: read_json(path) for layer, path in variants.items()}
        manifest["variants"] = {
            layer: _entry(record, _OF_ALLELES) for layer, record in compared.items()
        }
    if heads:
        applied = {name: read_json(path) for name, path in heads.items()}
        manifest["heads"] = {name: _entry(record, _OF_HEAD) for name, record in applied.items()}
    write_json(output, manifest)
    return manifest


def _entry(record: dict, keys: tuple[str, ...]) -> dict:
    """What the manifest says of a dataset."""
    return {key: record[key] for key in (*keys, *_IF_PRESENT) if key in record or key in keys}
