"""Take the picture of the README: screenshot.py results/report.html resources/report.png."""

import io
import sys
from pathlib import Path

from conftest import ARGUMENTS
from PIL import Image
from playwright.sync_api import sync_playwright

SIZE = {"width": 1280, "height": 1130}


def main(page: str, picture: str) -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        opened = browser.new_page(viewport=SIZE)
        opened.goto(f"file://{Path(page).resolve()}")
        image = Image.open(io.BytesIO(opened.screenshot()))
        browser.close()
    # 128 colours: a third of the size, and no difference that one sees.
    image.convert("RGB").quantize(128).save(picture, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
