"""Delete what a finished run needs no more: `make tidy`.

In: the files under results/. Out: its pack files and shards are deleted, and lines on the terminal
say what this freed, and what would now cost a new embedding.
"""

import argparse
import os
import sys
from pathlib import Path

from evo2_embed.io.errors import InputError
from evo2_embed.io.text import fault_lines, human_bytes
from evo2_embed.io.version import add_version
from evo2_embed.run.frozen import RUN_CONFIG, load_frozen
from evo2_embed.run.tidy import Tidied, tidy

COST = """\
Another run has nothing to do. New fusions, probes, comparisons and the report need none of these
files. A new extraction makes its pack files again.
Without them, these embed again, beside what always does:
- a change of levels, score_strands or variants.strands: all bundles of the extraction
- a part file in results/embeddings/ or results/variants/ that is lost or damaged: its bundle"""


def main(directory: str, delete: bool) -> str:
    """The text to print."""
    os.chdir(directory)
    if not Path(RUN_CONFIG).exists():
        raise InputError(f"no run was started in {Path.cwd()} yet ({RUN_CONFIG} does not exist)")
    return as_text(tidy(load_frozen(RUN_CONFIG), Path("results"), delete=delete), delete)


def as_text(found: Tidied, delete: bool) -> str:
    """What was found, in lines."""
    what = "deleted" if delete else "would delete"
    lines = [f"{what} {found.files:,} pack and shard files ({human_bytes(found.size)})"]
    if found.kept:
        more = f" and {len(found.kept) - 3:,} more" if len(found.kept) > 3 else ""
        lines.append(
            f"kept those of bundles that are not finished: {', '.join(found.kept[:3])}{more}"
        )
    if found.files:
        lines.append(COST)
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", default=".", help="folder of the run")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    add_version(parser)
    chosen = parser.parse_args()
    try:
        print(main(chosen.directory, not chosen.dry_run))
    except InputError as fault:
        sys.exit(fault_lines("error", fault))
