# Tracks of heads and scores for genome browsers, if the configuration has bigwig in `export`.
#
# in:  results/heads/{extraction}/{head}.json, or results/embeddings/{extraction}/scores.json, and the
#      dataset that it names; the FASTA files, for the lengths of contigs
# out: results/export/bigwig/{extraction}/{head}/{genome}/{track}.plus.bw and .minus.bw, or {track}.bw of
#      both strands; of classes and features also calls.bed
#      results/export/bigwig/{extraction}/{head}.json, and scores.json
#      keys: workflow, settings, tracks, genomes, dataset, exported (file, track, strand, bytes, sha256
#      of each); written last


def drawn_record(wildcards):
    """Record of the dataset that is drawn."""
    folder = "embeddings" if wildcards.head == SCORES else "heads"
    return f"results/{folder}/{wildcards.extraction}/{wildcards.head}.json"


def named_bundles(wildcards):
    """Bundles with the rows of the sheet that are in them."""
    return [[name, [g.row for g in bundle.genomes]] for name, bundle in RUN.bundles.items()]


rule export_bigwig:
    """Draw {wildcards.head} of {wildcards.extraction} for genome browsers."""
    input:
        record=whole("results/export/bigwig/{extraction}/{head}.json", drawn_record),
        fasta=fasta_files,
    output:
        record="results/export/bigwig/{extraction}/{head}.json",
    log:
        "logs/export_bigwig/{extraction}/{head}.log",
    benchmark:
        "benchmarks/export_bigwig/{extraction}/{head}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=3000,
    params:
        bundles=named_bundles,
        settings=param_of("export_bigwig"),
        indexes=INDEXES,
    script:
        "../scripts/export_bigwig.py"
