"""Fixtures of the library's tests."""

import pytest
from evo2_embed.config import resolve

from workflow import CONFIG, merged, write_fasta


@pytest.fixture
def complete(tmp_path, monkeypatch):
    """A function that gives complete settings, from the small configuration with changes."""
    monkeypatch.chdir(tmp_path)

    def complete(**changes):
        write_fasta("any.fa", [("any", "ACGT" * 100)])
        (tmp_path / "genomes.tsv").write_text("genome\tfasta\nany\tany.fa\n")
        return resolve(merged(CONFIG, changes))[0]

    return complete
