"""Files of variants for tests."""

HEADER = """##fileformat=VCFv4.2
##INFO=<ID=END,Number=1,Type=Integer,Description="End">
"""
COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO")


def vcf_of(records, samples=()):
    """A VCF of records: contig, position, ID, reference allele, alternate alleles."""
    names = [*COLUMNS, *(["FORMAT", *samples] if samples else [])]
    genotypes = ["GT", *["0|1"] * len(samples)] if samples else []
    lines = [[*map(str, record), ".", ".", ".", *genotypes] for record in records]
    return HEADER + "".join("\t".join(line) + "\n" for line in [names, *lines])
