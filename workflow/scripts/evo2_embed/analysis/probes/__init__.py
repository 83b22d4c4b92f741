"""Which layer? Labels, and how well a linear probe predicts them from each layer's embeddings.

formats      lines of BED, GFF3 and TSV
labels       labelled intervals of a file (light: checked when the workflow is parsed)
intervals    contigs end to end on one axis, and how much of a row intervals cover
rows         the label of a row; which rows are used
folds        parts of the rows that are predicted from the others, neighbours kept together
plan         labels, rows and folds of a dataset
check        the same from chunk tables, before there is a dataset
baselines    GC and k-mer counts of rows, to compare layers with
metrics      how well predictions fit
probe        the probe, and its cross-validation
fusing       fused layers, fitted on each fold's training rows
winner       means with their intervals, and which layer is best, if one is
memory       what a job takes (light)
extraction   all of it for one extraction: its table and its record
"""
