"""The configuration, declared once: every key with its type, bounds, default and description.

sections     the sections of `config.yaml` as frozen dataclasses
section      what a section is: keys that are declared as fields, from and to plain mappings
schema       the JSON schema that follows from the sections
table        the documentation of all keys that follows from the schema
"""
