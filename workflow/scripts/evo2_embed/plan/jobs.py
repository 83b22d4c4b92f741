"""How many jobs a run has, by rule."""


def count_jobs(settings: dict, bundles: int, shards: int) -> dict[str, int]:
    """Jobs by rule, of those rules that have any.

    Parameters
    ----------
    settings : dict
        Complete, as `run.plan_run` gives them.
    bundles, shards : int
        How many there are.
    """
    extractions = settings["extractions"]
    training = {"split_chunks": 1, "export_packs": shards, "write_finetune": 1}
    models = {tuple(extraction["model"].values()) for extraction in extractions.values()}
    probes = len(extractions) if settings["probe"] else 0
    fusions = sum(len(extraction["fusion"]) for extraction in extractions.values())
    compared = len(extractions) if settings["compare"]["rows"] else 0
    shuffled = compared if settings["compare"]["control"] else 0
    measured = len(extractions) if settings["burn_in"]["length"] else 0
    jobs = {
        "chunk_fasta": bundles,
        "pack_tokens": shards,
        "check_machine": len(models),
        "fetch_model": len(models),
        "embed_shard": shards * len(extractions),
        "aggregate_embeddings": sum(len(e["layers"]) for e in extractions.values()),
        "fit_fusion": fusions,
        "fuse_layers": fusions,
        "shuffle_windows": min(shuffled, 1),
        "embed_control": shuffled,
        "compare_layers": compared,
        "pack_burn_in": measured,
        "embed_burn_in": measured,
        "measure_burn_in": measured,
        "check_labels": probes,
        "probe_layers": probes,
        "write_manifest": len(extractions),
        **(training if settings["export"] == "finetune" else {}),
        "write_report": 1,
    }
    return {name: number for name, number in jobs.items() if number}
