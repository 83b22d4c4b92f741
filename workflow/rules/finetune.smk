# Packs to a training set, if the configuration says `export: finetune`.
#
# in:  results/chunks/{bundle}.parquet, results/packs/{bundle}/{shard}.parquet
# out: results/export/blocks.parquet
#      columns: genome, contig, block, start, end, chunks, split
#      results/export/{bundle}/{shard}/export.json
#      keys: settings, packing, width, blocks_digest, digest, chunks_digest, first_stretch,
#      n_stretches, n_chunks, parts, files; written last, beside packed-train.parquet,
#      packed-validation.parquet, padded-train.parquet and padded-validation.parquet, if the shard
#      has such rows
#      results/finetune/packed/{split}-00000.parquet and following, for the splits train and validation
#      columns: input_ids, attention_mask, position_ids, cu_seqlens, labels, genome, contig, start,
#      end, strand
#      results/finetune/padded/{split}-00000.parquet and following
#      columns: input_ids, attention_mask, position_ids, labels, length, genome, contig, start, end,
#      strand
#      results/finetune/README.md
#      results/finetune/summary.json
#      keys: workflow, windows, genomes (fasta_sha256, genome of each), settings, packing, width,
#      blocks, chunks, tokens, forms (rows, width, padding_share, room_share, bytes, files of each),
#      digest


rule split_chunks:
    """Choose blocks for validation: {params.settings[validation_share]} of them."""
    input:
        chunks=made_by("chunk_fasta"),
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
        settings=param_of("split_chunks"),
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
        settings=param_of("export_packs"),
    script:
        "../scripts/export_packs.py"


rule write_finetune:
    """Check the shards of the training set, and put them where `load_dataset` finds them."""
    input:
        records=whole("results/finetune/summary.json", made_by("export_packs")),
        chunks=made_by("chunk_fasta"),
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
        settings=param_of("export_packs"),
        shard_counts=shard_counts,
    script:
        "../scripts/write_finetune.py"
