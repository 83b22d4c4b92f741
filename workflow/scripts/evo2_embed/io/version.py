"""The version, for the scripts that a user calls."""

import argparse

from evo2_embed import __version__


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add the option `--version` to a command."""
    parser.add_argument("--version", action="version", version=f"evo2-embed {__version__}")
