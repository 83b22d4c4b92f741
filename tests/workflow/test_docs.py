"""README.md and docs/: links lead somewhere, and commands exist."""

import re

import pytest
from evo2_embed import PACKAGES
from runs import ROOT, SCRIPTS

PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md")),
    *(ROOT / name / "README.md" for name in ("config", "examples")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "resources").glob("*.md")),
]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


def headings(page):
    """Anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_targets_of_the_makefile(page):
    text = page.read_text()
    named = re.findall(r"`make ([a-z-]+)", text) + re.findall(r"^ *make ([a-z-]+)", text, re.M)
    assert set(named) <= TARGETS


def test_the_pages_link_and_name_commands_at_all():
    readme = (ROOT / "README.md").read_text()
    assert {"demo", "plan", "test"} <= set(re.findall(r"\bmake ([a-z-]+)", readme))
    linked = set(re.findall(r"\]\(docs/(\w+\.md)", readme))
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")}


def test_the_architecture_names_files_and_packages_that_exist():
    text = (ROOT / "docs" / "architecture.md").read_text()
    files = re.findall(r"`([\w/.-]+\.(?:py|smk))`", text)
    assert len(files) > 30
    for name in files:
        assert any((folder / name).is_file() for folder in (ROOT, SCRIPTS / "evo2_embed")), name
    assert tuple(re.findall(r"^\| `(\w+)` \|", text, re.M)) == PACKAGES
