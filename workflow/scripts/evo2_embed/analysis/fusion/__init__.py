"""Layers of an extraction, or its strands, joined into one dataset with the same columns.

faults       the settings of fusions: completed and checked (light)
shape        dimensions of a fused vector (light)
vectors      a fitted fusion: vectors of several layers -> one vector
parameters   its parameters, fitted to rows: arrays in, arrays out
weights      weights of layers, learned from labels
stored       parameters in a file
strands      the + and - rows of the same bases
datasets     the datasets of the layers, read side by side
fit          the job that fits the parameters to a sample
writing      the job that writes the fused dataset
"""
