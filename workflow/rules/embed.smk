# Pack files to embeddings: the GPU job.
#
# in:  results/packs/{bundle}/{shard}.parquet, results/models/{model}.json
# out: results/shards/{extraction}/{bundle}/{shard}/shard.json
#      keys: layers (file, rows, width, sha256 of each), settings, digests; written last
#      results/shards/{extraction}/{bundle}/{shard}/speed.json
#      keys: tokens, seconds, tokens_per_second, peak_memory_mb, device, host, threads, cpus
#      results/shards/{extraction}/{bundle}/{shard}/{layer}.parquet, one a layer
#      columns: chunk, genome, contig, start, end, strand, name, n_tokens, context, embedding
#      results/shards/{extraction}/{bundle}/{shard}/.work/, while the shard is in the making:
#      journal.json and the rows of finished packs, from which the next job goes on; lock


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
        # No results depend on these, so a change of them reruns nothing.
        checkpoint_every=SETTINGS.runtime.checkpoint_every,
        hang_after=SETTINGS.runtime.hang_after,
        kv_device=SETTINGS.runtime.kv_device,
    params:
        settings=embed_settings,
        device=SETTINGS.runtime.device,
    script:
        "../scripts/embed_shard.py"
