"""What a run will cost, known before it: sizes of files and settings in, estimates out.

contigs      the contigs of a genome, from its index, its file, or a part of it
estimate     windows, tokens, jobs and rows
filesizes    what the files take on the disk
speeds       tokens a second: measured here, set, or published
parameters   the weights of a model
peak         the memory of a job
advice       what to think about before the run
text         all of it, for people
"""
