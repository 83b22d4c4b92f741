"""The section Embeddings in Chromium: menus, search, selections, neighbours, list and track."""

import csv
import re

import numpy as np
import pytest
from drawn_page import GAP, PER_CONTIG, ROWS, written
from evo2_embed.report.drawn_rows import Column


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return written(tmp_path_factory.mktemp("page") / "page.html", PER_CONTIG)


def nearest(vectors, row):
    """The row and its 10 nearest, by plain numpy."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    return np.argsort(-(centred @ centred[row]))[:11].tolist()


def place(keys, row):
    at = keys.row(row, named=True)
    return f"{at['contig']}:{at['start'] + 1:,}-{at['end']:,} ({at['strand']})"


def listed(page):
    return page.locator(".listed tbody button").all_inner_texts()


def menu(page, name):
    return page.locator(f"select[name={name}]")


def find(page, text, said):
    page.get_by_label(re.compile("^Find a name")).fill(text)
    page.locator(".found", has_text=said).wait_for()


def layout_of(page, which, path):
    return page.evaluate(f"document.querySelector('.{which}').layout.{path}")


def drag(page, which, corners):
    """Drag along corners, given as shares of the plotting area."""
    area = page.locator(f".{which} .draglayer .nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    at = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*at[0])
    page.mouse.down()
    for corner in at[1:]:
        page.mouse.move(*corner, steps=4)
    page.mouse.up()


def saved(page, button):
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return download.value.path().read_text()


def point_at(page, which, row):
    """Where a row is on the screen, and move the mouse there."""
    x, y = page.evaluate(
        """([which, row]) => {
          const plot = document.querySelector(`.${which}`);
          plot.scrollIntoView({ block: "center" });
          const box = plot.getBoundingClientRect();
          const trace = plot.data.find((each) => each.customdata && each.customdata.includes(row));
          const at = trace.customdata.indexOf(row), full = plot._fullLayout;
          const axis = (name) => full[(trace[name] || name[0]).replace(/^(.)/, "$1axis")];
          const [x, y] = [axis("xaxis"), axis("yaxis")];
          return [box.x + x._offset + x.d2p(trace.x[at]), box.y + y._offset + y.d2p(trace.y[at])];
        }""",
        [which, row],
    )
    page.mouse.move(x, y)


def test_each_menu_changes_what_is_drawn(small, open_page):
    page = open_page(small[0])
    label = page.locator(".projection").get_attribute
    assert page.locator("[name=dataset]").input_value() == "norm"  # the layer that was given
    assert "UMAP of 240 rows of norm, coloured by label: CDS 90, tRNA 50" in label("aria-label")
    menu(page, "dataset").select_option("blocks.1")
    assert "of blocks.1," in label("aria-label")
    menu(page, "axes").select_option(label="PC2 and PC3")
    assert re.match(r"PC2 \(\d+\.\d % ", layout_of(page, "projection", "xaxis.title.text"))
    titles = menu(page, "colour").locator("option").all_inner_texts()
    assert titles == [
        *("label", "genome", "contig", "name", "strand", "GC", "bits per base", "position"),
        *("sheet host", "sheet year"),
    ]
    for title in titles:
        menu(page, "colour").select_option(title)
        assert f"coloured by {title}" in label("aria-label")
        numbers = title in ("GC", "bits per base", "position", "sheet year")
        assert (page.locator(".projection .colorbar").count() == 1) == numbers
        assert (page.locator(".legend").first.locator("button").count() > 0) == (not numbers)
    for title in menu(page, "track").locator("option").all_inner_texts():
        menu(page, "track").select_option(label=title)
        assert page.locator(".track").get_attribute("aria-label").startswith(title.split(" (")[0])
    for value, mode in {"select": "select", "zoom": "zoom", "pan": "pan", "lasso": "lasso"}.items():
        menu(page, "drag").select_option(value)
        assert layout_of(page, "projection", "dragmode") == mode


def test_the_search_lists_the_rows_with_a_name_or_at_a_position(small, open_page):
    path, keys, *_ = small
    second = keys["contig"] == "chr2"
    wanted = {
        "gene_1": keys["name"] == "gene_1",  # not gene_10
        "GENE_": keys["name"].is_not_null(),
        "beta": keys["genome"] == "beta",
        "chr2": second,
        "alpha:chr:1:1-500": (keys["start"] == 0) & ~second & (keys["genome"] == "alpha"),
        "chr2:1,500-1,501": second & keys["start"].is_in([1000, 1500]),
        "chr2:1500": second & (keys["start"] == 1000),
    }
    page = open_page(path)
    for text, matches in wanted.items():
        rows = np.flatnonzero(matches.fill_null(False).to_numpy()).tolist()
        find(page, text, f"{len(rows)} rows: {text}.")
        assert listed(page) == [place(keys, row) for row in rows[:100]]
    found = list(csv.DictReader(saved(page, "Save CSV").splitlines()))
    assert [int(row["start"]) for row in found] == keys["start"][rows].to_list()
    assert [row["genome"] for row in found] == keys["genome"][rows].to_list()


def test_a_search_that_finds_nothing_says_so(small, open_page):
    page = open_page(small[0])
    find(page, "chr9:1-5", 'No row has "chr9:1-5"')
    assert not page.locator(".listed").is_visible()


@pytest.mark.parametrize(
    ("mode", "corners"),
    [
        ("lasso", [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99), (0.01, 0.02)]),
        ("select", [(0.01, 0.01), (0.99, 0.99)]),
    ],
)
def test_rows_that_are_selected_with_the_mouse_are_listed_and_saved(
    small, open_page, mode, corners
):
    path, keys, *_ = small
    page = open_page(path)
    menu(page, "drag").select_option(mode)
    drag(page, "projection", corners)
    page.locator(".found", has_text=f"{ROWS} rows selected. The first 100 are listed").wait_for()
    assert listed(page) == [place(keys, row) for row in range(100)]
    lines = [line.split("\t") for line in saved(page, "Save BED").splitlines()]
    assert [line for line in lines if line[0].startswith("#")] == [
        ["# genome: alpha"],
        ["# genome: beta"],
    ]
    bed = [line for line in lines if len(line) == 6]
    assert [int(line[1]) for line in bed] == keys["start"].to_list()
    assert [line[3] for line in bed] == keys["name"].fill_null(".").to_list()
    page.get_by_role("button", name="Copy CSV").click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert len(copied.splitlines()) == ROWS + 1
    page.get_by_role("button", name="Clear").click()
    assert not page.locator(".listed").is_visible()


def test_rows_that_are_selected_in_the_track_are_listed(small, open_page):
    page = open_page(small[0])
    drag(page, "track", [(0.01, 0.5), (0.99, 0.6)])
    page.locator(".found", has_text=f"{PER_CONTIG} rows selected.").wait_for()
    assert {text[-3:] for text in listed(page)} == {"(+)"}  # of the panel of this strand


def test_a_point_has_the_nearest_neighbours_of_plain_numpy(small, open_page):
    path, keys, vectors, _ = small
    page = open_page(path)
    row = 130
    wanted = [place(keys, near) for near in nearest(vectors["norm"], row)]
    point_at(page, "projection", row)
    page.mouse.down()
    page.mouse.up()
    page.locator(".found", has_text="and its 10 nearest neighbours in norm").wait_for()
    assert listed(page) == wanted
    similarity = page.locator(".listed tbody td:nth-child(2)").all_inner_texts()
    assert similarity[0] == "1.000"
    assert sorted(similarity, reverse=True) == similarity
    # The track shows the contig of the row; another layer has other neighbours.
    assert page.locator("[name=contig] option:checked").inner_text() == "beta: chr:1"
    menu(page, "dataset").select_option("blocks.1")
    assert listed(page) == [place(keys, near) for near in nearest(vectors["blocks.1"], row)]


def test_the_keyboard_alone_gives_the_neighbours(small, open_page):
    path, keys, vectors, _ = small
    page = open_page(path, width="narrow")
    find(page, "chr2:1500", "4 rows")
    first = listed(page)[0]
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == first:
            break
    page.keyboard.press("Enter")
    page.locator(".found", has_text="nearest neighbours").wait_for()
    row = next(row for row in range(ROWS) if place(keys, row) == first and row >= 60)
    assert listed(page) == [place(keys, near) for near in nearest(vectors["norm"], row)]


def test_plot_and_track_point_at_the_same_row(small, open_page):
    page = open_page(small[0])
    for one, other in (("track", "projection"), ("projection", "track")):
        point_at(page, one, 7)
        page.wait_for_function(f"document.querySelector('.{other}').layout.shapes?.length === 1")
        page.mouse.move(2, 2)
        page.wait_for_function(f"document.querySelector('.{other}').layout.shapes.length === 0")


def test_lines_of_both_strands_are_broken_at_the_gap_only(small, open_page):
    page = open_page(small[0])
    lines = page.evaluate(
        """document.querySelector('.track').data
        .filter((t) => t.line && t.line.width < 2).map((t) => t.x)"""
    )
    half = PER_CONTIG // 2
    assert [[i for i, x in enumerate(line) if x is None] for line in lines] == [[half], [half]]
    assert lines[0][half + 1] - lines[0][half - 1] == GAP + 500


def test_alleles_of_variants_are_points_without_a_line(tmp_path, open_page):
    allele = Column(["ref", "alt"] * (ROWS // 2))
    page = open_page(written(tmp_path / "page.html", PER_CONTIG, allele=allele)[0])
    modes = page.evaluate("""document.querySelector('.track').data
        .filter((t) => !t.line || t.line.width < 5).map((t) => t.mode)""")
    assert set(modes) == {"markers"}


def test_a_name_has_the_same_colour_in_plot_track_band_and_legend(small, open_page):
    path, _, _, colours = small
    page = open_page(path)
    read = """(which) => document.querySelector(which).data
      .filter((t) => t.customdata && typeof t.marker.color === "string")
      .map((t) => [t.marker.color, t.x.length])"""
    plot = page.evaluate(read, ".projection")
    assert {color for color, _ in plot} == set(colours["label"].values())
    assert {color for color, _ in page.evaluate(read, ".track")} <= set(colours["label"].values())
    bands = page.evaluate("""document.querySelector('.track').data
      .filter((t) => t.line && t.line.width > 2).map((t) => t.line.color)""")
    assert set(bands) == set(colours["label"].values())
    signs = (
        page.locator(".legend")
        .first.locator("button span")
        .evaluate_all("all => all.map((one) => one.style.color)")
    )
    wanted = [tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in colours["label"].values()]
    assert [tuple(map(int, re.findall(r"\d+", sign))) for sign in signs][:-1] == wanted
    page.locator(".legend").first.get_by_role("button", name="tRNA").click()
    page.locator(".found", has_text="50 rows: tRNA.").wait_for()


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_numbers_have_colours_of_enough_contrast_in_both_schemes(small, open_page, scheme):
    page = open_page(small[0], scheme=scheme)
    menu(page, "colour").select_option("GC")
    stops = page.evaluate("document.querySelector('.projection').data[0].marker.colorscale")
    card = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--card')")
    for _, color in stops:
        light, dark = sorted((luminance(color), luminance(card.strip())), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3


def test_paper_shows_the_present_state_whole(small, open_page):
    page = open_page(small[0], scheme="dark")
    find(page, "gene_1", "gene_1.")
    page.set_viewport_size({"width": 700, "height": 900})
    page.emulate_media(media="print")
    for which in ("projection", "track"):
        over = page.evaluate(
            """([one, other]) => [one, other]
            .map((each) => document.querySelector(each).getBoundingClientRect().right)
            .reduce((a, b) => a - b)""",
            [f".{which} .main-svg", "section"],
        )
        assert over <= 0
    assert page.locator(".projection").get_attribute("aria-label").count("8 rows are marked") == 1
    assert not page.locator(".actions").is_visible()
    box = page.locator(".listed")
    assert box.evaluate("each => each.scrollHeight <= each.clientHeight + 1")


def test_thousands_of_rows_are_drawn_with_small_points_by_webgl(tmp_path, open_page):
    path, *_ = written(tmp_path / "large.html", 500)
    page = open_page(path)
    marks = page.evaluate(
        "document.querySelector('.projection').data.map((t) => [t.type, t.marker.size])"
    )
    assert {tuple(mark) for mark in marks} == {("scattergl", 4.5)}
    find(page, "alpha", "2,000 rows: alpha. The first 100 are listed")
    assert len(listed(page)) == 100
    dimmed = page.evaluate(
        "document.querySelector('.projection').data.flatMap((t) => t.marker.opacity)"
    )
    assert sorted(set(dimmed)) == [0.2, 1]
    assert dimmed.count(1) == 2000
