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
from tito.site.chapters import Page, chapter_page
from tito.site.outputs import committed, executed
from tito.strip import read_notebook

NOT_RUN = '!!! note "Not run in this build"\n    Pictures come from the notebook; what its cells print is left out.'


@dataclass(frozen=True)
class Settings:
    """What the site is made of: `execute` names the chapters that are run, None for all."""

    root: Path
    to: Path
    work: Path
    repository: str = ""
    execute: frozenset[str] | None = None


def build_site(settings: Settings) -> Path:
    """Write the site and return the folder that holds it. Raises: TitoError where something cannot be shown."""
    if not find_spec("zensical") or not find_spec("latex2mathml"):
        raise TitoError(f"the site needs Zensical and latex2mathml: {how_to_install('site')}")
    pages = settings.work / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(settings.root / "site" / "pages", pages)
    shutil.copytree(settings.root / "site" / "assets", pages / "assets")
    chapters = [chapter(path, settings) for path in notebooks(settings.root)]
    for page in chapters:
        save(page, pages / "chapters")
    index = pages / "index.md"
    listed = "\n".join(f"- [{page.title}](chapters/{page.name}.md)" for page in chapters)
    index.write_text(index.read_text(encoding="utf-8").replace("<!-- chapters -->", listed), encoding="utf-8")
    nav = [{"Home": "index.md"}, {"Chapters": [{page.title: f"chapters/{page.name}.md"} for page in chapters]}]
    run_zensical(settings, nav)
    return settings.to


def chapter(notebook: Path, settings: Settings) -> Page:
    runs = settings.execute is None or notebook.stem in settings.execute
    outputs = executed(notebook, settings.root, settings.work / "cache") if runs else committed(notebook)
    return chapter_page(notebook.stem, read_notebook(notebook), outputs, "" if runs else NOT_RUN)


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
        base |= {"repo_url": f"https://github.com/{settings.repository}", "repo_name": settings.repository}
    config = settings.work / "mkdocs.yml"
    config.write_text(yaml.safe_dump(base, sort_keys=False), encoding="utf-8")
    path = os.pathsep.join(filter(None, [str(settings.root), os.environ.get("PYTHONPATH")]))
    said = subprocess.run([sys.executable, "-m", "zensical", "build", "--clean", "-f", str(config)],
                          env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)  # fmt: skip
    built = settings.work / "html"
    if said.returncode or not (built / "index.html").is_file():
        raise TitoError(f"zensical could not build the site:\n{said.stdout}{said.stderr}")
    shutil.rmtree(settings.to, ignore_errors=True)
    shutil.move(built, settings.to)
