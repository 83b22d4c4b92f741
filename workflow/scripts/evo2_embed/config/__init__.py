"""From a configuration to complete settings, or to all its faults at once, before the first job.

schema       faults against the JSON schema
complete     values that follow from others
faults       faults across keys
context      long contexts: their faults and warnings
region_rows  rows of regions: what they rule out
resolve      all of it
"""
