# Packs to a training set, if the configuration says `export: finetune`.
#
# in:  results/chunks/{bundle}.parquet, results/packs/{bundle}/{shard}.parquet
# out: results/export/blocks.parquet
#      columns: genome, contig, block, start, end, chunks, split
#      results/export/{bundle}/{shard}/export.json
#      keys: parts, files (rows, tokens, bytes, sha256 of each), settings, digests; written last,
#      beside packed-train.parquet, packed-validation.parquet, padded-train.parquet and
#      padded-validation.parquet, as far as the shard has rows of them
#      results/finetune/packed/{split}-00000.parquet and on, for the splits train and validation
#      columns: input_ids, attention_mask, position_ids, cu_seqlens, labels, genome, contig, start,
#      end, strand
#      results/finetune/padded/{split}-00000.parquet and on
#      columns: input_ids, attention_mask, position_ids, labels, length, genome, contig, start, end,
#      strand
#      results/finetune/README.md
#      results/finetune/summary.json
#      keys: chunks, tokens and blocks of each split; of each form rows, padding_share and files


rule split_chunks:
    """Say which blocks are for validation: {params.settings[validation_share]} of them."""
    input:
        chunks=chunk_tables,
    output:
        blocks="results/export/blocks.parquet",
    log:
        "logs/split_chunks.log",
    benchmark:
        "benchmarks/split_chunks.tsv"
    priority: 30
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        settings=SPLIT_SETTINGS,
    script:
        "../scripts/split_chunks.py"


rule export_packs:
    """Write shard {wildcards.shard} of bundle {wildcards.bundle} as rows to train on."""
    input:
        packs="results/packs/{bundle}/{shard}.parquet",
        blocks="results/export/blocks.parquet",
    output:
        record="results/export/{bundle}/{shard}/export.json",
    log:
        "logs/export_packs/{bundle}/{shard}.log",
    benchmark:
        "benchmarks/export_packs/{bundle}/{shard}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        settings=EXPORT_SETTINGS,
    script:
        "../scripts/export_packs.py"


rule write_finetune:
    """Check the shards of the training set, and put them where `load_dataset` finds them."""
    input:
        records=export_records,
        chunks=chunk_tables,
        blocks="results/export/blocks.parquet",
    output:
        card="results/finetune/README.md",
        summary="results/finetune/summary.json",
    log:
        "logs/write_finetune.log",
    benchmark:
        "benchmarks/write_finetune.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
    params:
        settings=EXPORT_SETTINGS,
        shard_counts=shard_counts,
    script:
        "../scripts/write_finetune.py"
