"""Which layer? How well a linear probe predicts labels from the embeddings of each layer.

formats      lines of BED, GFF3 and TSV files
labels       labelled intervals of a file (light: checked when the workflow is parsed)
intervals    contigs end to end on one axis, and how many bases of a row intervals cover
rows         the label of each row, and which labelled rows are used
folds        folds for cross-validation, without leakage between neighbours
design       rows, labels and folds of a probe
check        the same from chunk tables, before there is a dataset
baselines    GC content and k-mer counts of rows, the baseline of all layers
metrics      how well predictions fit
probe        the probe and its cross-validation
fusing       fused layers, fitted to the training rows of each fold
winner       means with confidence intervals, and the best layer if it is significantly better
memory       memory of a job (light)
extraction   all probes of one extraction: their table and record
"""
