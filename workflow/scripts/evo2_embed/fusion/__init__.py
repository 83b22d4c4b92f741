"""Layers of an extraction, and its strands, joined into one dataset with the same columns.

faults       what a configuration says of fusions, checked (light)
shape        numbers in a fused vector (light)
parameters   fitting to rows, and applying: arrays in, arrays out
weights      weights learned from labels
stored       parameters in a file
strands      the + and - rows of the same bases
datasets     layers' datasets, read side by side
jobs         the two jobs: fit the parameters, write the fused dataset
"""
