"""A finished run with exports, for the tests of this folder."""

import pytest
from runs import Workflow, random_bases, write_fasta


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Two genomes with further columns in the sheet, of which one has regions with names."""
    flow = Workflow(tmp_path_factory.mktemp("flow") / "flow")
    write_fasta(
        flow.folder / "a.fa", [("a1", random_bases(8000, 1)), ("a|2", random_bases(900, 2))]
    )
    write_fasta(flow.folder / "b.fa", [("b1", random_bases(3000, 3))])
    (flow.folder / "b.bed").write_text("b1\t0\t300\tdnaA\nb1\t500\t700\nb1\t500\t700\trpoB\n")
    (flow.folder / "genomes.tsv").write_text(
        "genome\tfasta\tregions\thost\tgrowth.at/C\tname\n"
        "a\ta.fa\t\tE. coli\t37\tfirst\nb\tb.fa\tb.bed\tNA\tNA\tsecond\n"
    )
    fusion = {"three": {"method": {"pca": 3}, "strands": "mean"}}
    layers = {"layers": ["norm"], "dtype": "float16", "fusion": fusion}
    flow.configure(
        export=["anndata", "atlas", "lance"],
        extractions={"default": layers},
        windows={"strands": "both"},
    )
    flow.run()
    return flow


@pytest.fixture(scope="session")
def results(run):
    """Its folder of results."""
    return run.folder / "results"
