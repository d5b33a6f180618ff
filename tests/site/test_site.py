"""The site: what is on its pages; and how they look and behave in a real browser."""
import html
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import numpy as np
import pytest

from tinytorch import Tensor, pictures
from tinytorch.pictures.page import Picture
from tito.course import chapters
from tito.project import TitoError
from tito.site.clinic import trained
from tito.site.documents import DOCUMENTS, Library
from tito.site.milestones import plain_text
from tito.site.outputs import shown

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = {"desk": 1280, "phone": 390}
sys.path.append(str(ROOT))  # behind everything else: only `clinic` is to be found there

from clinic import source_of  # noqa: E402


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
    tensor = text_of(built / "reference" / "tinytorch.Tensor.html")
    assert "Return sqrt(x)" in tensor, "a method of one line says what its operation says"
    assert "Return self.flip(1)." in tensor, "or what it does"
    layers = text_of(built / "reference" / "tinytorch.nn.html")
    assert layers.count("element_size") == 0, "Parameter does not list again what all tensors have"


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


def test_every_document_is_a_page_and_the_first_page_says_where(built):
    for room, pages in DOCUMENTS.items():
        for page, (document, _) in pages.items():
            heading = re.search(r"# (.+)", Library(ROOT).text(document))[1]
            assert heading in html.unescape(text_of(built / room / f"{page}.html"))
    home = (built / "index.html").read_text(encoding="utf-8")
    for link in ("chapters/28_distributed.html", "milestones/reversal.html", "clinic/index.html", "lite/start.html",
                 "course/instructors.html", "reference/tinytorch.html", "index/reversal_attention.png"):
        assert f'"{link}"' in home, link
    assert "tito new" in text_of(built / "index.html") and "optimizer.step()" in text_of(built / "index.html")


def test_links_of_documents_lead_to_pages_or_to_the_repository(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "course.md").write_text("[a](capstone.md#b) [c](../tests) `[d](e.md)`\n```\n[f](g.md)\n```\n")
    (tmp_path / "docs" / "capstone.md").write_text("[no](such.md)")
    (tmp_path / "tests").mkdir()
    page = ("course", "course", "docs/course.md", "Course")
    code = "`[d](e.md)`\n```\n[f](g.md)\n```"
    assert Library(tmp_path).page(*page).text.strip() == f"[a](capstone.md#b) c {code}"
    there = Library(tmp_path, "somebody/tinytorch").page(*page).text
    assert "[c](https://github.com/somebody/tinytorch/tree/HEAD/tests)" in there
    with pytest.raises(TitoError, match="docs/capstone.md links to such.md"):
        Library(tmp_path).page("course", "capstone", "docs/capstone.md", "Capstone")
    with pytest.raises(TitoError, match="'Nothing' of docs/course.md"):
        Library(tmp_path).section("docs/course.md", "Nothing")


def test_a_chapter_can_be_opened_in_colab(built):
    for made in chapters():
        page = (built / "chapters" / f"{made.name}.html").read_text(encoding="utf-8")
        assert f"colab.research.google.com/github/somebody/tinytorch/blob/colab/{made.name}.ipynb" in page
        first, *_ = json.loads((built / "colab" / f"{made.name}.ipynb").read_text(encoding="utf-8"))["cells"]
        assert "".join(first["source"]).startswith("%pip install") and "somebody/tinytorch" in "".join(first["source"])


def test_code_in_a_milestones_story_stays_as_it_is():
    assert plain_text("`build_it` of a_b") == "`build_it` of a\\_b"


def test_the_curve_of_a_patient_shows_what_it_complains_of():
    swings, *_ = trained("12_overshoot")
    settles, *_ = trained("12_overshoot", healthy=True)
    assert "swings" in source_of("12_overshoot") and max(swings[50:]) > swings[0] and max(settles[50:]) < 0.1


def test_no_solution_marker_or_hidden_test_is_on_a_page(built):
    for path in (built / "chapters").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert "### BEGIN" not in text and "def hidden_tests" not in text, path.name


# ---- in a browser


PAGES = ("index.html", "chapters/03_tensor.html", "chapters/11_attention.html", "clinic/index.html",
         "clinic/01_wrong_digits.html", "milestones/xor.html", "reference/tinytorch.Tensor.html",
         "reference/tinytorch.nn.functional.html", "source/tinytorch.tensor.py.html", "course/course.html",
         "measured/benchmarks.html")  # fmt: skip
KINDS = ("index.html", "course/course.html", "chapters/03_tensor.html", "clinic/index.html",
         "clinic/01_wrong_digits.html", "milestones/xor.html", "reference/tinytorch.optim.html",
         "source/tinytorch.optim.optimizers.py.html", "measured/benchmarks.html")  # fmt: skip
TWO = [("desk", True), ("phone", False)]  # (width, dark): what axe looks at; --slow adds the other two
FOUR = [*TWO, ("desk", False), ("phone", True)]


@pytest.mark.parametrize("width", ("desk", "phone"))
@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_an_error_or_a_request_to_elsewhere(browser, address, page, width):
    browser.open(address + page, width)
    browser.picture(f"{page}-{width}")
    assert not browser.errors
    elsewhere = [url for url in browser.asked if not url.startswith((address, "data:", "blob:"))]
    assert address + page in browser.asked and not elsewhere
    assert browser.across() <= WIDTHS[width], f"{browser.across()} pixels wide: something is wider than the screen"


def test_formulas_are_drawn(browser, address):
    browser.open(urljoin(address, "chapters/11_attention.html"))
    boxes = browser.run("return [...document.querySelectorAll('article math')].map("
                        "m => { const box = m.getBoundingClientRect(); return [box.width, box.height] })")
    assert len(boxes) > 30 and all(width > 3 and height > 3 for width, height in boxes)
    prose = re.sub(r"(?m)^.*[\"'#=].*$", "", browser.run("return document.querySelector('article').innerText"))
    assert not re.search(r"\$[^$\n]+\$|\\frac|\\sqrt", prose), "a formula is left as it was typed"


def test_who_types_cross_entropy_into_the_search_box_finds_it(browser, address):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    browser.open(address + "index.html")
    browser.driver.find_element("css selector", ".md-search__button").click()
    inside = "const all = [...document.querySelectorAll('*')].flatMap(e => e.shadowRoot ? [e.shadowRoot] : []); "
    wait = WebDriverWait(browser.driver, 60)
    wait.until(lambda _: browser.run(inside + "const box = all.map(r => r.querySelector('input')).find(Boolean);"
                                     "if (box) box.focus(); return !!box"))
    ActionChains(browser.driver).send_keys("cross_entropy").perform()
    found = wait.until(lambda _: browser.run(inside + "return all.flatMap(r => [...r.querySelectorAll('a')])"
                                             ".filter(a => a.getBoundingClientRect().height).map(a => a.href)"))
    assert found[0].startswith(address + "reference/tinytorch.nn.functional.html")
    assert found[0].endswith("#tinytorch.nn.functional.cross_entropy")


def test_the_first_guess_at_a_patient_counts(browser, address):
    browser.open(address + "clinic/11_almost_right.html")
    browser.driver.find_element("css selector", "details.guess.wrong summary").click()
    browser.driver.find_element("css selector", "details.guess.right summary").click()
    browser.open(address + "clinic/01_wrong_digits.html")
    browser.driver.find_element("css selector", "details.guess.right summary").click()
    browser.open(address + "clinic/index.html")
    assert "1 of 2" in browser.driver.find_element("css selector", ".score").text
    found = browser.run("return [...document.querySelectorAll('a[data-patient]')].map(a => a.className)")
    assert found == ["found", "missed"]


@pytest.mark.parametrize("page", KINDS)
def test_axe_finds_nothing_serious(browser, address, page):
    for width, dark in TWO:
        browser.open(address + page, width, dark)
        assert not browser.barriers(), f"{width}, {'dark' if dark else 'light'}"


@pytest.mark.parametrize("made", [
    lambda: pictures.graph((Tensor([[1.0, 2.0]], requires_grad=True) * 3).exp().sum()),
    lambda: pictures.attention(np.eye(2).reshape(1, 2, 2), ["a", "b"]),
    lambda: pictures.temperature([1.0, 2.0]),
    lambda: pictures.line([0, 1], [1, 2]),
], ids=["graph", "attention", "temperature", "line"])  # fmt: skip
def test_axe_finds_nothing_serious_in_a_picture(browser, tmp_path, made):
    made().save(tmp_path / "picture.html")
    for width, dark in FOUR:
        browser.open((tmp_path / "picture.html").as_uri(), width, dark)
        assert not browser.errors and not browser.barriers(), f"{width}, {'dark' if dark else 'light'}"


@pytest.mark.slow
def test_no_page_at_all_has_an_error_or_something_serious(browser, address, built):
    pages = sorted(path.relative_to(built).as_posix() for path in built.glob("*/*.html") if path.parent.name != "lite")
    assert len(pages) > 100
    for page in pages:
        for width, dark in TWO if page.startswith("source/") else FOUR:  # a page of source is as any other
            browser.open(address + page, width, dark)
            assert not browser.errors and browser.across() <= WIDTHS[width], f"{page}, {width}"
            assert page.startswith("source/") or not browser.barriers(), f"{page}, {width}, dark: {dark}"
