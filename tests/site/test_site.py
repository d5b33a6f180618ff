"""The site, built and opened in a real browser, at the width of a desk and of a phone.

Needs the extra `browser` and Debian's `chromium` and `chromium-driver`; where one of them is missing, one line says so,
and CI fails. Pictures of the pages lie in the folder that TITO_SCREENSHOTS names.
"""
import functools
import html
import http.server
import importlib.util
import json
import os
import re
import shutil
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

for package in ("zensical", "latex2mathml", "selenium", "axe_playwright_python"):
    if importlib.util.find_spec(package) is None:
        pytest.skip("the site in a browser needs the extra: pip install -e '.[browser]'", allow_module_level=True)

from selenium import webdriver  # noqa: E402
from selenium.webdriver import ChromeOptions, ChromeService  # noqa: E402

from tinytorch.pictures.page import Picture  # noqa: E402
from tito.site.builder import Settings, build_site  # noqa: E402
from tito.site.outputs import shown  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync", "--lang=en-US",
         "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"]
WIDTHS = {"desk": 1280, "phone": 390}
in_a_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="the site in a browser needs Chromium and its "
                                  "driver: apt-get install chromium chromium-driver")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    "A site with one chapter, two patients and one milestone that were run; the course in the browser is in it."
    folder = tmp_path_factory.mktemp("site")
    (folder / "html" / "lite" / "files" / "modules").mkdir(parents=True)
    (folder / "html" / "lite" / "files" / "modules" / "03_tensor.ipynb").write_text("{}")
    (folder / "html" / "lite" / "start.html").write_text("<!doctype html><title>here before</title>")
    return build_site(Settings(ROOT, folder / "html", folder / "work", run=frozenset(["03_tensor"]),
                               patients=frozenset(["01", "11"]), quick=("xor",)))  # fmt: skip


class Links(HTMLParser):
    "What a page points to, and the places in it that can be pointed to."

    def __init__(self, text):
        super().__init__()
        self.targets, self.places, self.outside = [], {""}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.places |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        for name in ("href", "src"):
            if name in attributes:
                self.targets.append(attributes[name])
                if tag not in ("a",) and urlsplit(attributes[name]).scheme in ("http", "https"):
                    self.outside.append(attributes[name])


def test_every_internal_link_resolves_and_nothing_is_fetched_from_outside(built):
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in built.rglob("*.html")}
    assert len(pages) > 28
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # is served at any depth
            continue
        assert not page.outside, f"{path.name} asks another host for {page.outside}"
        for target in page.targets:
            link, place = urldefrag(target)
            if urlsplit(link).scheme:
                continue
            link = urlsplit(link).path
            file = (path.parent / unquote(link)).resolve() if link else path
            file = file / "index.html" if file.is_dir() else file
            if not file.is_file() or (place and file in pages and unquote(place) not in pages[file].places):
                broken.append(f"{path.relative_to(built)}: {target}")
    assert not broken, "\n".join(broken)


def text_of(path):
    return re.sub(r"<[^>]+>", "", path.read_text(encoding="utf-8"))


def test_a_patient_is_shown_with_its_curve_three_guesses_and_the_finding(built):
    page = (built / "clinic" / "01_wrong_digits.html").read_text(encoding="utf-8")
    assert page.count('class="guess right"') == 1 and page.count('class="guess wrong"') == 2
    assert "<polyline" in page or "<path" in page, "no curve"
    finding = page.partition("What the examination finds")[2]
    assert "clinic" in finding and "repaired" in finding
    ward = text_of(built / "clinic" / "index.html")
    assert "2 of 39 patients" in ward and "Wrong digits" in ward


def test_a_milestone_shows_what_its_run_wrote(built, tmp_path):
    run = next((built.parent / "work" / "cache" / "runs").glob("xor-*/xor-001"))
    criteria = json.loads((run / "results.json").read_text(encoding="utf-8"))["criteria"]
    text = text_of(built / "milestones" / "xor.html")
    assert criteria and all(html.escape(one["name"]) in text or one["name"] in text for one in criteria)
    assert "<svg" in (built / "milestones" / "xor.html").read_text(encoding="utf-8")
    assert "No run was given" in text_of(built / "milestones" / "copilot.html")


def test_the_reference_has_signatures_links_and_the_source(built):
    page = (built / "reference" / "tinytorch.nn.functional.html").read_text(encoding="utf-8")
    text = text_of(built / "reference" / "tinytorch.nn.functional.html")
    assert 'id="tinytorch.nn.functional.cross_entropy"' in page and "cross_entropy(" in text
    assert "../chapters/" in page and "../source/tinytorch." in page and "Raises:" in text
    assert "object at 0x" not in text and "<function" not in html.unescape(text)


def test_the_search_finds_cross_entropy(built):
    index = json.loads((built / "search.json").read_text(encoding="utf-8"))
    found = [one["location"] for one in index["items"] if "cross_entropy" in one["title"]]
    assert any("reference/tinytorch.nn.functional.html" in place for place in found), found


def test_the_course_in_the_browser_stays_and_is_linked(built):
    assert "here before" in (built / "lite" / "start.html").read_text()
    link = 'href="../lite/start.html?path=modules/03_tensor.ipynb"'
    assert link in (built / "chapters" / "03_tensor.html").read_text(encoding="utf-8")
    assert "../lite/" not in (built / "chapters" / "04_modules.html").read_text(encoding="utf-8")


def test_a_picture_of_the_package_gets_a_frame_of_its_own(built):
    picture = Picture("temperature", "Temperature", {"scores": [1.0, 2.0], "names": ["a", "b"]}, 300)
    made = shown({"data": {"text/html": picture._repr_html_()}}, "007-0")
    assert made.files == {"007-0.html": picture.html.encode()}
    assert made.markdown.count("<iframe") == 1 and 'title="Temperature"' in made.markdown and "300px" in made.markdown
    page = (built / "chapters" / "03_tensor.html").read_text(encoding="utf-8")
    frames = re.findall(r'<iframe class="widget" src="([^"]+)"', page)
    assert frames and not any("<iframe" in (built / "chapters" / frame).read_text(encoding="utf-8") for frame in frames)


def test_no_solution_marker_or_hidden_test_is_on_a_page(built):
    for path in built.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "### BEGIN" not in text and "def hidden_tests" not in text, path.name


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address(built):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=built))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=ChromeService(DRIVER))
    yield driver
    driver.quit()


def opened(browser, url, width, dark=False):
    "Open a page; the addresses it asked for, and what it complained about."
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
    browser.get_log("browser"), browser.get_log("performance")
    browser.get(url)
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [said["params"]["request"]["url"] for said in asked if said["method"] == "Network.requestWillBeSent"]
    return asked, [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


PAGES = ("index.html", "chapters/03_tensor.html", "chapters/11_attention.html", "clinic/index.html",
         "clinic/01_wrong_digits.html", "milestones/xor.html", "reference/tinytorch.Tensor.html",
         "reference/tinytorch.nn.functional.html", "source/tinytorch.tensor.py.html")  # fmt: skip


def picture(browser, name):
    if folder := os.environ.get("TITO_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(folder) / f"{re.sub(r'[^a-z0-9]+', '-', name)}.png"))


@in_a_browser
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_an_error_or_a_request_to_elsewhere(browser, address, page, width):
    asked, errors = opened(browser, address + page, WIDTHS[width])
    picture(browser, f"{page}-{width}")
    assert not errors
    elsewhere = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert address + page in asked and not elsewhere
    across = browser.execute_script("return document.documentElement.scrollWidth")
    assert across <= WIDTHS[width], f"{across} pixels wide: something is wider than the screen"


@in_a_browser
def test_formulas_are_drawn(browser, address):
    opened(browser, urljoin(address, "chapters/11_attention.html"), WIDTHS["desk"])
    boxes = browser.execute_script("return [...document.querySelectorAll('article math')].map("
                                   "m => { const box = m.getBoundingClientRect(); return [box.width, box.height] })")
    assert len(boxes) > 30 and all(width > 3 and height > 3 for width, height in boxes)
    text = browser.execute_script("return document.querySelector('article').innerText")
    prose = re.sub(r"(?m)^.*[\"'#=].*$", "", text)
    assert not re.search(r"\$[^$\n]+\$|\\frac|\\sqrt", prose), "a formula is left as it was typed"


@in_a_browser
@pytest.mark.parametrize("page, dark", [
    ("index.html", False), ("chapters/03_tensor.html", True), ("clinic/01_wrong_digits.html", False),
    ("milestones/xor.html", True), ("reference/tinytorch.optim.html", False),
])  # fmt: skip
def test_axe_finds_nothing_serious(browser, address, page, dark):
    opened(browser, address + page, WIDTHS["desk"], dark)
    axe = Path(importlib.util.find_spec("axe_playwright_python").submodule_search_locations[0]) / "axe.min.js"
    browser.execute_script(axe.read_text(encoding="utf-8"))
    found = browser.execute_async_script("axe.run().then(arguments[0])")["violations"]
    serious = [f"{one['impact']}: {one['help']}: {one['nodes'][0]['html'][:200]} ({len(one['nodes'])} times)"
               for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, "\n".join(serious)


def test_code_in_a_milestones_story_stays_as_it_is():
    from tito.site.milestones import plain_text

    assert plain_text("`build_it` of a_b") == "`build_it` of a\\_b"
