"""The rules of the workflow: the outputs of each rule.

`make status`, `make plan`, the report and the rules themselves read this one table; `plan.jobs` has
the jobs of each rule in a run.
"""

from dataclasses import dataclass

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
