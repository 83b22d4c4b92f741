"""The report page as people see it: on a screen, on a phone, in the dark and on paper."""

import csv
import os
import struct
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from evo2_embed.config.resolve import resolve
from evo2_embed.report import html, numbers, similarity
from evo2_embed.report.effects import Effects
from evo2_embed.report.render import About, join_sections
from evo2_embed.report.summary import Result
from evo2_embed.report.variants import variants

# Figures that are drawn, and all that should be, without those of folded parts.
DRAWN = "[...document.querySelectorAll('.drawing')].filter((e) => e.clientWidth).map(%s)"
WIDER = """(what) => [...document.querySelectorAll(what)]
  .filter((e) => e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1).length"""


@pytest.fixture(scope="session")
def many(tmp_path_factory):
    """A page on 3 and on 50 genomes, on variants, with a table of many rows and columns."""
    rng = np.random.default_rng(0)
    sections = []
    for number in (3, 50):
        names = [f"genome {i} of group {i % 4}" for i in range(number)]
        vectors = rng.normal(size=(4, 8))[np.arange(number) % 4] + rng.normal(size=(number, 8)) / 3
        sections.append(html.section(f"Genomes {number}", similarity.figure(names, vectors)))
    llr, distances = {"SNV": rng.normal(size=90)}, {"norm": rng.random(90)}
    largest = pl.DataFrame([{"genome": "g", "variant": "c:7:A:C", "id": None, "strand": "+"}])
    largest = largest.with_columns(kind=pl.lit("SNV"), llr=pl.lit(-2.5))
    effects = Effects({"SNV": 90}, 90, False, "norm", "llr", largest, llr, distances, 90)
    sections.append(variants(Result("default", Path(), {"genomes": []}, []), effects))
    amounts = [(html.Amount(numbers.duration(s), s),) for s in (11, 157, 0.2, 7500, 61)]
    sections.append(html.section("Times", html.table(("time",), amounts, "times")))
    rows = [(f"g{i}", *(f"{i * j:,}" for j in range(1, 12)), "nothing") for i in range(300)]
    heads = ("genome", *(f"column {j}" for j in range(1, 12)), "skipped")
    sections.append(html.section("Genomes", html.table(heads, rows, "genomes")))
    path = tmp_path_factory.mktemp("many") / "page.html"
    path.write_text(join_sections(sections, ["evo2_tiny"], About("today", "genomes: g.tsv\n")))
    return path


def faults_of(page):
    """What axe finds."""
    found = Axe().run(page).response["violations"]
    return [(each["id"], node["html"][:200]) for each in found for node in each["nodes"]]


def test_every_control_works(report, open_page, finished_run, tmp_path, monkeypatch):
    page = open_page(report)
    for select in page.locator("select:visible").all():
        for value in select.locator("option").evaluate_all("all => all.map((o) => o.value)"):
            select.select_option(value)
    page.locator("summary").click()
    assert all(page.evaluate(DRAWN % "(e) => e.querySelector('.main-svg') !== null"))
    assert all(page.evaluate(DRAWN % "(e) => e.getAttribute('aria-label').length > 20"))
    for link in page.locator("header nav a, .findings a").all():
        place = link.get_attribute("href")
        link.click()
        assert page.locator(f"section{place}").count() == 1
    for button in page.locator("th button:visible").all():
        button.click()
    monkeypatch.chdir(finished_run.folder)
    page.get_by_role("button", name="Copy loading code").click()
    names = {}
    exec(page.evaluate("navigator.clipboard.readText()"), names)
    assert len(names["keys"]) == len(names["vectors"]) > 100
    saved = {}
    for name in ("Configuration (YAML)", "Genomes (CSV)", "Plots (PNG)"):
        with page.expect_download() as waited:
            page.get_by_role("button", name=name).click()
        saved[name] = tmp_path / waited.value.suggested_filename
        waited.value.save_as(saved[name])
    first, second = (
        resolve(yaml.safe_load(path.read_text()))[0].to_dict()
        for path in (saved["Configuration (YAML)"], Path("config/config.yaml"))
    )
    assert first == second
    with open(saved["Genomes (CSV)"], newline="") as handle:
        table = {row["genome"]: row for row in csv.DictReader(handle)}
    assert table["large"]["bases"] == "10011"
    assert int(table["small"]["rows per layer of bins"]) > 10
    width, height = struct.unpack(">II", saved["Plots (PNG)"].read_bytes()[16:24])
    assert width > 700
    assert height > 2000
    assert os.path.getsize(report) < 2_000_000


def test_tables_are_sorted_as_numbers_or_names_and_say_that_they_scroll(many, open_page):
    page = open_page(many)
    cells = "all => all.map((row) => row.cells[%d].textContent)"
    rows = page.locator("#genomes tbody tr")
    page.get_by_role("button", name="column 11").click()
    page.get_by_role("button", name="column 11").click()
    assert rows.evaluate_all(cells % 11)[:3] == ["3,289", "3,278", "3,267"]
    page.locator("#genomes th button").first.click()
    assert rows.evaluate_all(cells % 0)[:3] == ["g0", "g1", "g2"]
    page.locator("#times th button").click()
    times = page.locator("#times tbody tr").evaluate_all(cells % 0)
    assert times == ["under 1 s", "11 s", "1 min 1 s", "2 min 37 s", "2 h 5 min"]
    assert page.locator("#genomes .hint").is_visible()
    assert not page.locator("#variants--default .hint").is_visible()
    assert page.get_by_role("region", name="genomes").get_attribute("tabindex") == "0"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_nothing_is_wider_than_the_window(report, many, open_page, scheme):
    page = open_page(report, scheme=scheme)
    page.locator("summary").click()
    assert not faults_of(page)
    page = open_page(many, scheme=scheme)
    assert not faults_of(page)
    page = open_page(report if scheme == "light" else many, width="narrow", scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= 500
    # A page that is open follows the scheme.
    colour = "getComputedStyle(document.querySelector('.drawing text')).fill"
    before = page.evaluate(colour)
    page.emulate_media(color_scheme="light" if scheme == "dark" else "dark")
    page.wait_for_function(f"{colour} !== '{before}'")


def test_paper_has_whole_tables_and_plots(report, many, open_page):
    for path in (report, many):
        page = open_page(path)
        hidden = "document.querySelectorAll('details:not([open])').length"
        folded = page.evaluate(hidden)
        # The second listener runs after that of the page.
        page.evaluate(f"""() => addEventListener("beforeprint", () => {{
            const wide = document.querySelector("main").clientWidth;
            const svg = [...document.querySelectorAll(".drawing .main-svg")];
            window.printed = {{
              clipped: ({WIDER})(".table"), folded: {hidden},
              plots: svg.length, cut: svg.filter((e) => e.clientWidth > wide).length }};
        }})""")
        assert page.pdf(format="A4").startswith(b"%PDF")
        printed = page.evaluate("window.printed")
        assert printed.pop("plots") > 1
        assert printed == {"clipped": 0, "folded": 0, "cut": 0}
        page.wait_for_function(f"{hidden} === {folded}")
