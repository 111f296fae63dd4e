"""`python -m docs.screenshot PAGE PICTURE`: the top of a report's page as a PNG, for the README.

Where there is no Chromium the picture that is there is kept.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

WIDTH, HEIGHT = 1280, 1180


def main(page: Path, picture: Path) -> None:
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        print(f"no chromium and chromedriver: {picture} is kept as it is", file=sys.stderr)
        return
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for word in ("--headless=new", "--no-sandbox", "--hide-scrollbars", f"--window-size={WIDTH},{HEIGHT}"):
        options.add_argument(word)
    window = webdriver.Chrome(options=options, service=Service(driver))
    try:
        window.get(page.resolve().as_uri())
        drawn = "return document.documentElement.dataset.drawn === 'all'"
        WebDriverWait(window, 30).until(lambda window: window.execute_script(drawn))
        window.set_window_size(WIDTH, HEIGHT)
        picture.write_bytes(window.get_screenshot_as_png())
    finally:
        window.quit()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
