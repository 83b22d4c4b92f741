"""Layers of an extraction, and its strands, joined into one dataset with the same columns.

faults       what a configuration says of fusions, checked (light)
shape        numbers in a fused vector (light)
vectors      vectors of several layers to one
parameters   what that takes, fitted to rows: arrays in, arrays out
weights      weights learned from labels
stored       parameters in a file
strands      the + and - rows of the same bases
datasets     layers' datasets, read side by side
fitting      the job that fits the parameters to a sample
writing      the job that writes the fused dataset
"""
