"""`tito dev lite`: the course in a browser. JupyterLite with its Pyodide kernel, our wheel, the notebooks of students.

What a student types there is kept by the browser (IndexedDB, under one name for all versions of the site): a new
version brings new notebooks only where nothing was typed. Without a folder of Pyodide, the page fetches Python itself
from where its kernel says.
"""

import json
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

from tito.course import chapters
from tito.files import write_whole
from tito.install import how_to_install
from tito.page import FIRST_VISIT, INSTALL, code, start_page
from tito.project import TitoError
from tito.strip import notebook_bytes
from tito.student import beginning
from tito.workspace import GUIDED

LAST = "17"  # the chapters behind it compile code, download models or start processes
STORAGE = "tinytorch course"
KERNEL = "@jupyterlite/pyodide-kernel-extension:kernel"
PLAIN = """typer annotated-doc shellingham rich markdown-it-py mdurl pytest pluggy iniconfig hypothesis
    sortedcontainers""".split()  # what `tito` and the suites import; the rest comes with Pyodide


def build_lite(root: Path, to: Path, work: Path, pyodide: Path | None) -> Path:
    """Write the static site and return its folder. Raises TitoError where a tool or a wheel is missing."""
    if not find_spec("jupyterlite_core") or not find_spec("jupyterlite_pyodide_kernel"):
        raise TitoError(f"the course in a browser needs JupyterLite: {how_to_install('lite')}")
    if pyodide and not (pyodide / "pyodide-lock.json").is_file():
        raise TitoError(f"{pyodide} is no Pyodide distribution: expected pyodide.mjs and pyodide-lock.json in it")
    shutil.rmtree(work, ignore_errors=True)
    write_contents(work / "contents")
    wheels = make_wheels(root, work / "wheels")
    write_whole(work / "jupyter-lite.json", json.dumps(page_settings()).encode())
    settings = {  # of JupyterLab's extensions that are installed here, the kernel alone
        "LiteBuildConfig": {
            "contents": ["contents"], "output_dir": "out", "apps": ["lab"], "no_sourcemaps": True,
            "ignore_sys_prefix": ["federated_extensions"], "federated_extensions": [str(kernel_extension())],
        },
        "PipliteAddon": {"piplite_urls": [str(wheel) for wheel in wheels]},
    }
    if pyodide:
        settings["PyodideAddon"] = {"pyodide_url": str(pyodide.resolve())}
    write_whole(work / "jupyter_lite_config.json", json.dumps(settings).encode())
    run("JupyterLite could not build the page", "-m", "jupyterlite_core", "build", folder=work)
    write_whole(work / "out" / "start.html", start_page(what_loads(work / "out")).encode())
    shutil.rmtree(to, ignore_errors=True)
    shutil.move(work / "out", to)
    return to


def kernel_extension() -> Path:
    place = Path("share", "jupyter", "labextensions", *KERNEL.split(":")[0].split("/"))
    return Path(sys.prefix) / place


def page_settings() -> dict:
    """What the page is told: a name for what it keeps, and to ask no package index."""
    data = {
        "appName": "tinytorch",
        "exposeAppInBrowser": True,  # as window.jupyterapp: for tests
        "contentsStorageName": STORAGE,
        "settingsStorageName": f"{STORAGE}, settings",
        "workspacesStorageName": f"{STORAGE}, workspaces",
        "litePluginSettings": {KERNEL: {"disablePyPIFallback": True}},
    }
    return {"jupyter-lite-schema-version": 0, "jupyter-config-data": data}


def write_contents(folder: Path) -> None:
    """The notebooks as students get them, each with a cell on top that installs the course, and the first page."""
    for made in chapters():
        if made.number <= LAST:
            notebook = beginning(made, GUIDED)
            notebook["cells"].insert(0, code("page-install", INSTALL))
            write_whole(folder / "modules" / made.notebook.name, notebook_bytes(notebook))
    write_whole(folder / "modules" / "Start here.ipynb", notebook_bytes(FIRST_VISIT))


def make_wheels(root: Path, folder: Path) -> list[Path]:
    """Our wheel, and of what is installed here those packages that are Python alone."""
    ours = ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(root)]
    run("pip could not build the wheel of tinytorch", "-m", "pip", "wheel", "-q", *ours, folder=root)
    exact = [f"{name}=={distribution(name).version}" for name in PLAIN]
    plain = ["--no-deps", "--only-binary=:all:", "--platform=any", "--dest", str(folder)]
    run("pip could not fetch the packages of the page", "-m", "pip", "download", "-q", *plain, *exact, folder=root)
    return sorted(folder.glob("*.whl"))


def what_loads(site: Path) -> dict[str, int]:
    """{address, from the page on: bytes} of what the first cell waits for, as far as it lies on the site."""
    python = site / "static" / "pyodide"
    names = "pyodide.mjs pyodide.asm.* python_stdlib.zip pyodide-lock.json numpy-*.whl matplotlib-*.whl".split()
    found = [path for name in names for path in sorted(python.glob(name)) if path.suffix != ".map"]
    found += sorted((site / "pypi").glob("*.whl"))
    return {path.relative_to(site).as_posix(): path.stat().st_size for path in found}


def run(what: str, *command: str, folder: Path) -> None:
    """Run Python with these arguments. Raises TitoError that says `what`, and what was printed."""
    done = subprocess.run([sys.executable, *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)  # fmt: skip
    if done.returncode:
        raise TitoError(f"{what}:\n{done.stdout[-3000:]}")
