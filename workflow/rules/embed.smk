# Pack files to embeddings: the GPU job.
#
# in:  results/packs/{bundle}/{shard}.parquet, results/models/{model}.json
# out: results/shards/{extraction}/{bundle}/{shard}/shard.json
#      keys: settings, digest, packs_digest, packing, chunks_digest, first_stretch, n_stretches,
#      first_chunk, stop_chunk, n_chunks, n_packs, n_tokens, n_bases, budget_tokens, padded_tokens,
#      checkpoint_sha256, packages, self_check, workflow, layers (file, rows, width, sha256 of
#      each), scores (file, rows, sha256); written last
#      results/shards/{extraction}/{bundle}/{shard}/speed.json
#      keys: tokens, seconds, tokens_per_second, peak_memory_mb, device, host, threads, cpus
#      results/shards/{extraction}/{bundle}/{shard}/{layer}.parquet, one per layer
#      columns: chunk, genome, contig, start, end, strand, name, n_tokens, context, exons,
#      embedding
#      with rows of variants also, after exons: variant, id, allele
#      results/shards/{extraction}/{bundle}/{shard}/scores.parquet, if asked for
#      columns: chunk, genome, contig, start, end, strand, name, n_tokens, context, exons, sum,
#      mean, scored
#      with rows of variants also, after exons: variant, id, allele
#      with rows of variants also, in the record: variants (true), downstream (file, rows, width,
#      sha256 of each layer, and of scores); and {layer}.downstream.parquet and
#      scores.downstream.parquet, with the same columns over the bases from the variant on
#      results/shards/{extraction}/{bundle}/{shard}/.work/, until the shard is complete:
#      journal.json and the rows of finished packs, from which a later job resumes; lock

EMBED_GPUS = 0 if SETTINGS.runtime.device == "cpu" else 1


rule embed_shard:
    """Run shard {wildcards.shard} of bundle {wildcards.bundle} through the model."""
    input:
        packs="results/packs/{bundle}/{shard}.parquet",
        model=model_record,
    output:
        record="results/shards/{extraction}/{bundle}/{shard}/shard.json",
        speed="results/shards/{extraction}/{bundle}/{shard}/speed.json",
    log:
        "logs/embed_shard/{extraction}/{bundle}/{shard}.log",
    benchmark:
        "benchmarks/embed_shard/{extraction}/{bundle}/{shard}.tsv"
    priority: 10
    conda:
        "../../envs/gpu.yaml"
    threads: SETTINGS.runtime.cpu_threads
    resources:
        gpu=EMBED_GPUS,
        mem_mb=8000,
    params:
        settings=param_of("embed_shard"),
        device=SETTINGS.runtime.device,
    script:
        "../scripts/embed_shard.py"
