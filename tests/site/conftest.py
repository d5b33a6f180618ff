"""The site, built once and served, and a real browser at the width of a desk and of a phone.

Needs the extra `browser` and Debian's `chromium` and `chromium-driver`; where one of them is missing, one line says so,
and CI fails. Pictures of the pages lie in the folder that TITO_SCREENSHOTS names.
"""
import functools
import http.server
import importlib.util
import json
import os
import re
import shutil
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--lang=en-US",
         "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
WIDTHS = {"desk": 1280, "phone": 390}
# Each colour of code has to be looked at once; a chapter has ten thousand coloured words.
FEWER_WORDS = """
const seen = new Set();
for (const word of document.querySelectorAll("article pre code span[class]"))
  if (seen.has(word.className)) word.replaceWith(word.textContent);
  else if (!word.querySelector("span")) seen.add(word.className);
"""
AXE = "axe.run({resultTypes: ['violations']}).then(found => arguments[0](found.violations))"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    "A site with one chapter, two patients and one milestone that were run; the course in the browser is in it."
    for package in ("zensical", "latex2mathml"):
        pytest.importorskip(package, reason="the site needs the extra: pip install -e '.[browser]'")
    from tito.site.builder import Settings, build_site

    folder = tmp_path_factory.mktemp("site")
    (folder / "html" / "lite" / "files" / "modules").mkdir(parents=True)
    (folder / "html" / "lite" / "files" / "modules" / "03_tensor.ipynb").write_text("{}")
    (folder / "html" / "lite" / "start.html").write_text("<!doctype html><title>here before</title>")
    settings = Settings(ROOT, folder / "html", folder / "work", "somebody/tinytorch", run=frozenset(["03_tensor"]),
                        patients=frozenset(["01", "11"]), quick=("xor",))  # fmt: skip
    return build_site(settings)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(built):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=built))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


class Browser:
    "Chromium. `asked` and `errors`: which addresses the last page wanted, and what it complained about."
    def __init__(self, driver):
        self.driver, self.run, self.asked, self.errors = driver, driver.execute_script, [], []

    def open(self, url, width="desk", dark=False):
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": WIDTHS[width], "height": 900, "deviceScaleFactor": 1, "mobile": width == "phone"})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
        self.driver.get_log("browser"), self.driver.get_log("performance")
        self.driver.get(url)
        said = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        self.asked = [one["params"]["request"]["url"] for one in said if one["method"] == "Network.requestWillBeSent"]
        self.errors = [one["message"] for one in self.driver.get_log("browser") if one["level"] == "SEVERE"]

    def across(self):
        return self.run("return document.documentElement.scrollWidth")

    def barriers(self):
        "What axe finds serious or worse on the page."
        axe = Path(importlib.util.find_spec("axe_playwright_python").submodule_search_locations[0]) / "axe.min.js"
        self.run(FEWER_WORDS)
        self.run(axe.read_text(encoding="utf-8"))
        return [f"{one['impact']}: {one['help']}: {one['nodes'][0]['html'][:200]} ({len(one['nodes'])} times)"
                for one in self.driver.execute_async_script(AXE) if one["impact"] in ("serious", "critical")]

    def picture(self, name):
        if folder := os.environ.get("TITO_SCREENSHOTS"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            self.driver.save_screenshot(str(Path(folder) / f"{re.sub(r'[^a-z0-9]+', '-', name)}.png"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver", reason="the site in a browser needs the extra: "
                                    "pip install -e '.[browser]'")
    if not (CHROMIUM and DRIVER):
        pytest.skip("the site in a browser needs Chromium and its driver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.get("about:blank")  # the page for a new tab asks for parts of its own, on a busy machine for a while
    driver.set_script_timeout(600)  # axe on a page of hundreds of names, beside other work
    yield Browser(driver)
    driver.quit()
