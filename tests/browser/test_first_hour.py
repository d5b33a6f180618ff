"""A student's first hour in JupyterLab, in a real browser: from the wheel to the first exercise that is right.

Chromium and its driver are Debian's `chromium` and `chromium-driver`; selenium is the extra `browser`. Where one of
them is missing, one line says so, and CI fails. Pictures of each step lie in the folder that TITO_SCREENSHOTS names.
"""
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

pytest.importorskip("selenium", reason="the first hour in a browser needs the extra: pip install -e '.[browser]'")
if importlib.util.find_spec("jupyterlab") is None:  # its import takes seconds, in every process that collects
    pytest.skip("the first hour in a browser needs JupyterLab: pip install -e '.[lab]'", allow_module_level=True)

from selenium import webdriver  # noqa: E402
from selenium.webdriver import ActionChains, ChromeOptions, ChromeService, Keys  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
         "--window-size=1200,1400", "--lang=en-US"]
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="the first hour in a browser needs Chromium and its "
                                "driver: apt-get install chromium chromium-driver")
EXERCISE = "exp"
RIGHT = "return (grad * self.out,)"
WRONG = {  # what is typed in its place, and what the cell below says
    "return (grad * self.out)": "backward returns a tuple, even of one gradient: is a comma missing?",
    "return (self.out,)": "expected [10, 2.718]",
}


def automated_student():
    spec = importlib.util.spec_from_file_location("automated_student", ROOT / "tests/tito/automated_student.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def workspace(tmp_path):
    "A new workspace, made by the `tito` of a wheel; chapter 01 is begun. With the environment of that `tito`."
    _, variables = automated_student().unpacked(tmp_path)
    home = tmp_path / "home"  # no settings of JupyterLab's but its own
    environment = os.environ | variables | {"HOME": str(home), "JUPYTER_CONFIG_DIR": str(home / "config"),
                                            "OPENBLAS_NUM_THREADS": "1"}
    environment.pop("TINYTORCH_WORKSPACE", None)
    folder = tmp_path / "my course"
    for command in (["new", str(folder)], ["start", "01"]):
        subprocess.run([sys.executable, "-m", "tito", *command], env=environment, check=True,
                       cwd=folder if folder.exists() else tmp_path)
    return folder, environment


@contextmanager
def lab(folder, environment):
    "The address of the JupyterLab that `tito lab` starts there; it ends with `tito lab`."
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", f"--port={port}", "--IdentityProvider.token=secret"]
    options += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with open(folder / "lab.log", "w") as log:
        process = subprocess.Popen([sys.executable, "-m", "tito", "lab", *options], cwd=folder, env=environment,
                                   stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(f"{address}/api/status?token=secret") or process.poll() is not None)
        assert process.poll() is None, (folder / "lab.log").read_text()
        yield address
    finally:
        process.terminate()
        process.wait(30)
    wait_until(lambda: not answers(f"{address}/api/status?token=secret"))


def answers(address):
    try:
        return urlopen(address, timeout=5).status == 200
    except OSError:
        return False


def wait_until(it_is, seconds=60):
    latest = time.monotonic() + seconds
    while not it_is():
        assert time.monotonic() < latest, "waited too long"
        time.sleep(0.1)


class Page:
    "A notebook in JupyterLab, as somebody sees it who has a keyboard and a mouse."

    def __init__(self, driver, pictures):
        self.driver, self.pictures = driver, pictures

    def open(self, address):
        "Open a notebook, and nothing else that was open before."
        self.driver.get(f"{address}?token=secret&reset")
        self.wait(lambda: self.find(".jp-Notebook .jp-Cell .cm-content"))
        self.wait(lambda: any("Python 3" in name.text for name in self.find(".jp-Toolbar-kernelName")))

    def find(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, it_is, seconds=90):
        return WebDriverWait(self.driver, seconds, 0.2).until(lambda _: it_is())

    def picture(self, name):
        self.driver.save_screenshot(str(self.pictures / f"{name}.png"))

    def press(self, *keys):
        "Keys held together; the last is struck."
        chain = ActionChains(self.driver)
        for key in keys[:-1]:
            chain.key_down(key)
        chain.send_keys(keys[-1])
        for key in keys[:-1]:
            chain.key_up(key)
        chain.perform()

    def cell(self, number):
        "The cell of that number (from 0), scrolled to where it can be seen."
        selector = f".jp-Notebook .jp-Cell[data-windowed-list-index='{number}']"
        self.driver.execute_script("window.scrollTo(0, 0)")
        if not self.find(selector):
            pytest.fail(f"no cell {number}")
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", self.find(selector)[0])
        return self.find(selector)[0]

    def edit(self, number):
        "Click into a cell's text."
        self.cell(number).find_element(By.CSS_SELECTOR, ".cm-content").click()
        self.wait(lambda: "jp-mod-editMode" in self.find(".jp-Notebook")[0].get_attribute("class"))

    def type_cell(self, number, source):
        "Replace the text of a cell by typing another, line after line."
        self.edit(number)
        self.press(Keys.CONTROL, "a")
        for row, line in enumerate(source.split("\n")):
            if row:
                self.press(Keys.ENTER)
                self.press(Keys.SHIFT, Keys.HOME)  # over the indentation that the editor begins a line with
                self.press(Keys.BACKSPACE) if not line else None
            ActionChains(self.driver).send_keys(line).perform()

    def run(self, number):
        "Shift+Enter in a cell; what stands below it in the end."
        self.edit(number)
        self.press(Keys.SHIFT, Keys.ENTER)
        prompt = ".jp-InputPrompt"
        self.wait(lambda: re.search(r"\[\d+\]", self.cell(number).find_element(By.CSS_SELECTOR, prompt).text))
        return self.output(number)

    def output(self, number):
        return self.cell(number).find_element(By.CSS_SELECTOR, ".jp-OutputArea").text

    def save(self):
        self.press(Keys.ESCAPE)
        self.press(Keys.CONTROL, "s")


@pytest.fixture
def browser(tmp_path):
    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={tmp_path / 'chromium'}"]:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=ChromeService(DRIVER))
    yield driver
    driver.quit()


def test_from_red_to_green_by_typing(workspace, browser, tmp_path):
    folder, environment = workspace
    path = folder / "modules" / "01_elementwise.ipynb"
    pictures = Path(os.environ.get("TITO_SCREENSHOTS", tmp_path))
    pictures.mkdir(parents=True, exist_ok=True)
    cells = json.loads(path.read_text())["cells"]
    first = next(row for row, cell in enumerate(cells)
                 if (cell["metadata"].get("nbgrader") or {}).get("solution"))
    assert cells[first]["metadata"]["nbgrader"]["grade_id"] == EXERCISE
    code = [row for row, cell in enumerate(cells) if cell["cell_type"] == "code"]
    solution = solution_of(EXERCISE)
    assert RIGHT in solution

    with lab(folder, environment) as address:
        page = Page(browser, pictures)
        a_picture_answers(page, f"{address}/lab/tree/{with_a_picture(folder).name}")
        page.open(f"{address}/lab/tree/modules/{path.name}")
        assert not page.find(".jp-Dialog"), page.find(".jp-Dialog")[0].text
        page.picture("1-opened")

        below = code[code.index(first) + 1]
        for row in code[:code.index(first) + 1]:
            page.run(row)
        assert f"exercise {EXERCISE} is still open: replace this line" in page.run(below)
        page.picture("2-open")

        for wrong, said in WRONG.items():
            page.type_cell(first, solution.replace(RIGHT, wrong))
            assert "Error" not in page.run(first)
            assert said in page.run(below)
            page.picture(f"3-wrong-{list(WRONG).index(wrong) + 1}")

        page.type_cell(first, solution)
        page.run(first)
        assert "Error" not in page.run(below)
        page.picture("4-right")
        said = page.run(code[-1])
        page.picture("5-not-saved")
        assert "save it (Ctrl+S)" in said
        page.save()
        wait_until(lambda: RIGHT in "".join(json.loads(path.read_text())["cells"][first]["source"]))
        said = page.run(code[-1])
        page.picture("6-checked")
        assert "01_elementwise is not green yet" in said and "save it" not in said
        assert re.search(rf"right so far: .*\b{EXERCISE}\b", said), said
        assert not page.find(".jp-Dialog")


def with_a_picture(folder):
    "A notebook of one cell, which shows an interactive picture."
    import nbformat

    cell = nbformat.v4.new_code_cell("from tinytorch import Tensor, pictures\n"
                                     "x = Tensor([0.5, 1.0], requires_grad=True)\n"
                                     "pictures.graph(lambda: x.tanh().sum(), x=x, stepping=True)")
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), folder / "picture.ipynb")
    return folder / "picture.ipynb"


def a_picture_answers(page, address):
    "In JupyterLab's own page the frame of a picture runs its script: a button steps, the pointer shows a node's code."
    page.open(address)
    page.run(0)
    page.wait(lambda: page.find(".jp-OutputArea iframe"))
    page.driver.switch_to.frame(page.find(".jp-OutputArea iframe")[0])
    page.wait(lambda: page.find(".said") and "step 0 of" in page.find(".said")[0].text)
    page.find("button:not([disabled])")[0].click()
    assert "step 1 of" in page.find(".said")[0].text
    page.find(".node[aria-label^=Tanh]")[0].click()
    assert "class Tanh(Function)" in page.find("pre")[0].text
    page.driver.switch_to.default_content()
    page.picture("0-picture")


def solution_of(name):
    "What the reference writes into the cell of an exercise."
    cells = json.loads((ROOT / "modules" / "01_elementwise.ipynb").read_text(encoding="utf-8"))["cells"]
    cell = next(cell for cell in cells if (cell["metadata"].get("nbgrader") or {}).get("grade_id") == name)
    marked = "".join(cell["source"]).split("\n")
    return "\n".join(line for line in marked if "### BEGIN SOLUTION" not in line and "### END SOLUTION" not in line)
