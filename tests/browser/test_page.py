"""The report page as people see it: on a screen, on a phone, in the dark and on paper."""

import pytest
from axe_playwright_python.sync_playwright import Axe

DRAWN = "document.querySelectorAll('.drawing .main-svg').length"


def test_every_control_works(report, open_page):
    page = open_page(report)
    assert page.evaluate(DRAWN)
    for select in page.locator("select:visible").all():
        for value in select.locator("option").evaluate_all("all => all.map((o) => o.value)"):
            select.select_option(value)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(report, open_page, scheme):
    page = open_page(report, scheme=scheme)
    found = Axe().run(page).response["violations"]
    faults = [
        (each["id"], each["help"], node["html"][:200], node["failureSummary"])
        for each in found
        for node in each["nodes"]
    ]
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.parametrize("width", ["wide", "narrow"])
def test_nothing_is_wider_than_the_window(report, open_page, width):
    page = open_page(report, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
