"""Check all files of a run: `make verify`.

In: the files under results/. Out: one line per file that is lost or damaged, with what to delete;
exit status 1 if there is one. It writes nothing and needs no lock.
"""

import argparse
import os
import sys
from pathlib import Path

from evo2_embed.io.errors import InputError
from evo2_embed.io.text import MESSAGE, fault_lines, human_bytes, shown
from evo2_embed.io.version import add_version
from evo2_embed.run.frozen import RUN_CONFIG, load_frozen
from evo2_embed.run.verify import verify_run


def main(directory: str) -> int:
    """Print what was found; the exit status."""
    os.chdir(directory)
    if not Path(RUN_CONFIG).exists():
        raise InputError(f"no run was started in {Path.cwd()} yet ({RUN_CONFIG} does not exist)")
    found = verify_run(load_frozen(RUN_CONFIG), Path("results"), Path("benchmarks"))
    for fault in found.faults:
        print(f"FAIL  {shown(fault, MESSAGE)}")
    read = f"{found.files:,} files read ({human_bytes(found.size)})"
    print(f"{read}, {len(found.faults):,} lost or damaged" if found.faults else f"OK    {read}")
    return 1 if found.faults else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", default=".", help="folder of the run")
    add_version(parser)
    try:
        sys.exit(main(parser.parse_args().directory))
    except InputError as fault:
        sys.exit(fault_lines("error", fault))
