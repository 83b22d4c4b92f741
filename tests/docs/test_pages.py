"""README.md and docs/: size and sections, links that lead somewhere, commands that exist."""

import re

import pytest
import yaml
from doc_blocks import BLOCKS, PAGES, blocks_in, name_of
from evo2_embed import PACKAGES, __version__
from runs import ROOT, SCRIPTS

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))


def headings(page):
    """Anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page):
    """The targets of a page's links that lead to files and headings."""
    found = re.findall(r"\]\(\s*([^)\s]+)\)", page.read_text())
    return [link for link in found if not link.startswith("https://")]


def test_the_readme_has_1200_words_at_most():
    assert len(README.split()) <= 1200  # as `wc -w` counts


def test_the_readme_has_its_sections_in_order():
    assert re.findall(r"^## (.+)$", README, re.M) == [
        "Demo",
        "Your genomes",
        "Recipes",
        "Model, layer, window, context",
        "The dataset",
        "Words",
        "Troubleshooting and FAQ",
        "Limits, citation, licence",
    ]
    recipes = README.split("## Recipes")[1].split("\n## ")[0]
    assert len(re.findall(r"^\*\*", recipes, re.M)) == 6


def test_each_machine_takes_three_lines():
    section = README.split("## Your genomes")[1].split("\n## ")[0]
    blocks = re.findall(r"^```bash\n(.*?)^```", section, re.M | re.S)
    assert [len(block.splitlines()) for block in blocks] == [3, 3, 3, 1]


def test_the_demo_ends_as_the_readme_shows(finished_run):
    (shown,) = [b.text for b in blocks_in("text", "README.md") if "report:" in b.text]
    printed = (finished_run.folder / "results/summary.txt").read_text()
    for line in shown.splitlines():
        if found := re.match(r"(dataset|read it|or|report): +", line):
            assert found[0] in printed
    (columns,) = [line.split() for line in shown.splitlines() if line.startswith("extraction")]
    (there,) = [line.split() for line in printed.splitlines() if line.startswith("extraction")]
    # There, headers have several lines, and there are scores.
    assert [word for word in there if word != "bits"] == [
        word for word in columns if word not in ("avoided", "per", "job")
    ]


def test_the_badges_say_what_the_project_says():
    python = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    snakemake = re.search(r'min_version\("(\d+)', (ROOT / "workflow/Snakefile").read_text())
    said = {name: (ROOT / f"resources/badges/{name}.svg").read_text() for name in BADGES}
    assert f"Python: {python[1]} | 3.12<" in said["python"]
    assert f"Snakemake: {snakemake[1]}<" in said["snakemake"]
    assert "licence: MIT<" in said["license"]
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


BADGES = re.findall(r"\(resources/badges/(\w+)\.svg\)", README)


def test_the_drawing_of_the_words_is_that_of_their_page():
    drawings = [
        b.text for b in blocks_in("text", "README.md", "docs/words.md") if "bundle" in b.text
    ]
    assert len(drawings) == 2
    assert drawings[0] == drawings[1]


def test_the_citation_has_the_version_and_evo_2():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    assert [entry["doi"] for entry in citation["references"]] == ["10.1038/s41586-026-10176-5"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings(page):
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), link
        assert not anchor or anchor in headings(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_text_are_targets_of_the_makefile(page):
    assert set(re.findall(r"`make ([a-z-]+)", page.read_text())) <= TARGETS


def test_the_index_has_every_page():
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in links(index)}
    assert linked == {page for page in PAGES if page != index}
    assert "docs/index.md" in links(ROOT / "README.md")


def test_the_architecture_names_files_and_packages_that_exist():
    text = (ROOT / "docs" / "architecture.md").read_text()
    files = re.findall(r"`([\w/.-]+\.(?:py|smk))`", text)
    assert len(files) > 30
    for name in files:
        assert any((folder / name).is_file() for folder in (ROOT, SCRIPTS / "evo2_embed")), name
    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.M)) == PACKAGES


def test_the_architecture_names_every_folder():
    (tree,) = [b.text for b in BLOCKS if b.page == "docs/architecture.md" and "Snakefile" in b.text]
    folders = re.findall(r"^([\w./-]+/)  ", tree, re.M)
    assert all((ROOT / folder).is_dir() for folder in folders)
    assert {f"{path.name}/" for path in ROOT.iterdir() if _is_kept(path)} <= set(folders)


def _is_kept(path):
    made = ("results", "logs", "benchmarks", "models", "build", "__pycache__")
    return path.is_dir() and path.name[0] != "." and path.name not in (*made, "workflow")
