"""What a run makes and what it takes, estimated from the settings and the sizes of files.

contigs      lengths of the contigs of a genome: from its index, its file, or a part of it
tokens       windows and tokens of a genome, from these lengths or from the size of its file
bundles      bundles and shards
rules        the rules of the workflow, and the jobs of a run
estimate     all of it together: windows, tokens, jobs, rows and bytes
filesizes    sizes of the files
speeds       tokens per second of a job: measured, set, predicted or published
parameters   number and size of a model's parameters
peak         GPU memory of a job
advice       warnings before the run
text         the output of `make plan`
"""
