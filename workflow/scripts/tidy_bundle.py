"""Delete the pack files and shards of a bundle as soon as it is finished: `keep: datasets`.

In: the records of the bundle in all extractions. Out: what was deleted.
"""

from pathlib import Path

from evo2_embed.io.files import write_json
from evo2_embed.run.frozen import RUN_CONFIG, load_frozen
from evo2_embed.run.job import workflow_job
from evo2_embed.run.tidy import tidy


def main(bundle: str, record: str) -> None:
    found = tidy(load_frozen(RUN_CONFIG), Path(RUN_CONFIG).parent, [bundle])
    write_json(record, {"files": found.files, "bytes": found.size})


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(snakemake.wildcards.bundle, snakemake.output.record)
