"""The whole site: pages and configuration in a working folder, then Zensical."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tito.files import write_whole
from tito.install import how_to_install
from tito.project import TitoError, notebooks
from tito.site.chapters import chapter_page
from tito.site.clinic import clinic_pages
from tito.site.colab import colab_link, colab_notebook, package_at
from tito.site.documents import Library
from tito.site.milestones import QUICK, milestone_pages
from tito.site.outputs import committed, executed
from tito.site.pages import Page
from tito.site.reference import reference_pages, source_pages
from tito.strip import read_notebook

SECTIONS = {"course": "The course", "chapters": "Chapters", "milestones": "Milestones", "clinic": "The clinic",
            "reference": "Reference", "measured": "Measured"}  # fmt: skip
NOT_RUN = '!!! note "Not run in this build"\n    Pictures come from the notebook; what its cells print is left out.'


@dataclass(frozen=True)
class Settings:
    """What the site is made of. None means all: `run`, names of chapters; `patients`, numbers; `quick`, milestones.

    `package` is what notebooks in Colab install: an address or a wheel; else what `repository` holds.
    """

    root: Path
    to: Path
    work: Path
    repository: str = ""
    package: str = ""
    runs: Path | None = None
    run: frozenset[str] | None = None
    patients: frozenset[str] | None = None
    quick: tuple[str, ...] = QUICK

    @property
    def cache(self) -> Path:
        return self.work / "cache"


def build_site(settings: Settings) -> Path:
    """Write the site and return the folder that holds it. Raises: TitoError where something cannot be shown."""
    if not find_spec("zensical") or not find_spec("latex2mathml"):
        raise TitoError(f"the site needs Zensical and latex2mathml: {how_to_install('site')}")
    pages = settings.work / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(settings.root / "site" / "assets", pages / "assets")
    library = Library(settings.root, settings.repository)
    rooms = {
        "": [library.home({"open": open_buttons(settings.to)})],
        "course": library.pages("course"),
        "measured": library.pages("measured"),
        "chapters": [chapter(path, settings) for path in notebooks(settings.root)],
        "milestones": milestone_pages(settings.root, settings.cache, settings.runs, settings.quick),
        "clinic": clinic_pages(settings.root, settings.cache, settings.patients),
        "reference": reference_pages(settings.root),
        "source": source_pages(settings.root),
    }
    for room, made in rooms.items():
        for page in made:
            save(page, pages / room)
    if package := settings.package or (settings.repository and package_at(settings.repository)):
        for path in notebooks(settings.root):
            write_whole(pages / "colab" / path.name, colab_notebook(path, package))
    run_zensical(settings, [{"Home": "index.md"}, *(section(room, rooms[room]) for room in SECTIONS)])
    return settings.to


def section(room: str, pages: list[Page]) -> dict:
    """A part of the navigation."""
    entries = [f"{room}/{page.name}.md" if page.name == "index" else {page.title: f"{room}/{page.name}.md"}
               for page in pages]  # fmt: skip
    return {SECTIONS[room]: entries}


def chapter(notebook: Path, settings: Settings) -> Page:
    runs = settings.run is None or notebook.stem in settings.run
    outputs = executed(notebook, settings.root, settings.cache) if runs else committed(notebook)
    head = "\n\n".join(filter(None, [to_be_opened(notebook, settings), "" if runs else NOT_RUN]))
    return chapter_page(notebook.stem, read_notebook(notebook), outputs, head)


def open_buttons(to: Path) -> str:
    """Where to begin, on the first page."""
    buttons = [("Read chapter 01", "chapters/01_elementwise.md", " .md-button--primary")]
    if (to / "lite" / "start.html").is_file():
        buttons.append(("Open it in the browser", "lite/start.html", ""))
    return " ".join(f"[{words}]({place}){{ .md-button{kind} }}" for words, place, kind in buttons)


def to_be_opened(notebook: Path, settings: Settings) -> str:
    """Links to where a chapter can be worked on at once, "" for none."""
    found = {}
    if (settings.to / "lite" / "files" / "modules" / notebook.name).is_file():  # what `tito dev lite` made
        found["Open in the browser"] = f"../lite/start.html?path=modules/{notebook.name}"
    if settings.repository:
        found["Open in Colab"] = colab_link(notebook.stem, settings.repository)
    links = [f'<a class="md-button" href="{link}">{words}</a>' for words, link in found.items()]
    return f"<p>{' '.join(links)} Nothing to install.</p>" if links else ""


def save(page: Page, folder: Path) -> None:
    write_whole(folder / f"{page.name}.md", page.text.encode())
    for name, content in page.files.items():
        write_whole(folder / page.name / name, content)


def run_zensical(settings: Settings, nav: list) -> None:
    """Turn the pages into HTML. Raises: TitoError, with what it said, where it fails."""
    import yaml

    base = yaml.safe_load((settings.root / "site" / "mkdocs.yml").read_text(encoding="utf-8"))
    base |= {"nav": nav, "docs_dir": "pages", "site_dir": "html"}
    if settings.repository:
        link = {"icon": "fontawesome/brands/github", "link": f"https://github.com/{settings.repository}"}
        base |= {"extra": {"social": [link | {"name": f"{settings.repository} on GitHub"}]}}  # `repo_url` asks GitHub
    config = settings.work / "mkdocs.yml"
    config.write_text(yaml.safe_dump(base, sort_keys=False), encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(settings.root), os.environ.get("PYTHONPATH")]))
    said = subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "-f", str(config)],
                          env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)  # fmt: skip
    built = settings.work / "html"
    if said.returncode or not (built / "index.html").is_file():
        raise TitoError(f"zensical could not build the site:\n{said.stdout}{said.stderr}")
    if (settings.to / "lite").is_dir():  # the course in the browser, made by `tito dev lite`
        shutil.move(settings.to / "lite", built / "lite")
    shutil.rmtree(settings.to, ignore_errors=True)
    shutil.move(built, settings.to)
