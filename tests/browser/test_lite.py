"""The course in a browser, as static files: what is typed there stays, through a reload and a new version of the site.

With a Pyodide distribution in the folder that TINYTORCH_PYODIDE names, chapter 01 goes to its first green check there.
"""
import functools
import json
import os
import shutil
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tito import lite
from tito.course import chapters
from tito.page import INSTALL
from tito.project import TitoError
from tito.strip import exercises
from tito.student import fresh

pytest.importorskip("selenium", reason="a browser needs the extra: pip install -e '.[browser]'")
pytest.importorskip("jupyterlite_core", reason="the page needs the extra: pip install -e '.[lite]'")

from selenium import webdriver  # noqa: E402
from selenium.webdriver import ChromeOptions, ChromeService  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--window-size=1200,1400", "--lang=en-US"]
CHAPTER = "modules/01_elementwise.ipynb"
PYODIDE = os.environ.get("TINYTORCH_PYODIDE")
needs_chromium = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="a browser: apt-get install chromium "
                                    "chromium-driver")
needs_pyodide = pytest.mark.skipif(not PYODIDE, reason="checks in the page itself: install a Pyodide distribution "
                                   "(site/fetch_pyodide.py) and name its folder in TINYTORCH_PYODIDE")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lite")
    return lite.build_lite(ROOT, folder / "site", folder / "work", Path(PYODIDE) if PYODIDE else None)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def address(site):
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture
def browser(tmp_path):
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in [*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options, ChromeService(DRIVER))
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


def contents(browser, call):
    "What a call of the page's contents manager, such as get('a.ipynb'), gives."
    script = ("const done = arguments[0]; window.jupyterapp.serviceManager.contents." + call +
              ".then(x => done(['ok', x]), e => done(['error', String(e)]));")
    word, found = browser.execute_async_script(script)
    assert word == "ok", found
    return found


def notebook_in(browser, path):
    return contents(browser, f"get({json.dumps(path)}, {{content: true, type: 'notebook'}})")["content"]


def open_lab(browser, address, path=CHAPTER):
    browser.get(f"{address}/lab/index.html?path={path}")
    WebDriverWait(browser, 90).until(lambda b: b.execute_script(
        "return !!(window.jupyterapp && document.querySelector('.jp-Notebook .jp-Cell'))"))


def test_the_page_has_the_notebooks_of_students_and_our_wheel(site):
    served = {path.name: json.loads(path.read_text()) for path in (site / "files" / "modules").glob("*.ipynb")}
    given = [made for made in chapters() if made.number <= lite.LAST]
    assert served.keys() == {"Start here.ipynb", *(made.notebook.name for made in given)}
    for made in given:
        first, *rest = served[made.notebook.name]["cells"]
        assert "".join(first["source"]) == INSTALL and rest == json.loads(fresh(made)[0])["cells"]
        assert "BEGIN SOLUTION" not in json.dumps(rest) and len(exercises(served[made.notebook.name])) == len(
            exercises(made.content))
    assert list((site / "pypi").glob("tinytorch_course-*.whl")) and not list((site / "pypi").glob("*linux*"))


def test_what_is_no_pyodide_is_refused(tmp_path):
    with pytest.raises(TitoError, match="no Pyodide distribution"):
        lite.build_lite(ROOT, tmp_path / "site", tmp_path / "work", tmp_path)


@needs_chromium
def test_loading_shows_how_far_it_is(browser, address):
    browser.get(f"{address}/start.html?path={CHAPTER}")
    said = "return document.getElementById('said').textContent"
    WebDriverWait(browser, 30).until(lambda b: b.execute_script(said) == "Ready.")
    assert browser.execute_script("return document.getElementById('bar').value") == 1
    assert browser.execute_script("return document.getElementById('go').href").endswith("01_elementwise.ipynb")


@needs_chromium
def test_what_was_typed_survives_a_reload_and_a_new_version(browser, address, site):
    open_lab(browser, address)
    notebook = notebook_in(browser, CHAPTER)
    notebook["cells"][2]["source"] = "typed = 'é 你'  # mine"
    model = json.dumps({"type": "notebook", "format": "json", "content": notebook})
    contents(browser, f"save({json.dumps(CHAPTER)}, {model})")
    mine = notebook_in(browser, CHAPTER)
    for path in (site / "files" / "modules").glob("0[12]_*.ipynb"):  # a new version of the site
        path.write_text(path.read_text().replace("#", "# new", 1))
    open_lab(browser, address)
    assert notebook_in(browser, CHAPTER) == mine
    assert "# new" in json.dumps(notebook_in(browser, "modules/02_shapes.ipynb"))
    severe = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    known = ("favicon", "pyodide", "beforeunload")  # Python's own address, and a page left by a driver, not by a hand
    ours = [line for line in severe if "127.0.0.1" in line and not any(word in line for word in known)]
    assert not ours, severe


@needs_chromium
@needs_pyodide
def test_chapter_01_to_its_first_green_check(browser, address):
    open_lab(browser, address)
    reference = exercises(chapters()[0].content)
    notebook = notebook_in(browser, CHAPTER)
    for cell in notebook["cells"]:
        name = (cell["metadata"].get("nbgrader") or {}).get("grade_id")
        if (cell["metadata"].get("nbgrader") or {}).get("solution"):
            cell["source"] = reference[name]
    model = json.dumps({"type": "notebook", "format": "json", "content": notebook})
    contents(browser, f"save({json.dumps(CHAPTER)}, {model})")
    begun = time.monotonic()
    open_lab(browser, address)
    browser.execute_async_script("window.jupyterapp.commands.execute('notebook:run-all-cells').then(arguments[0])")
    WebDriverWait(browser, 300).until(lambda b: b.execute_script(
        "return [...document.querySelectorAll('.jp-OutputArea-output')].some(x => x.textContent.includes('is green'))"))
    print(f"from opening to the first green check: {time.monotonic() - begun:.0f} s")
