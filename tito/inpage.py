"""Where no process can be started, as in a browser: what elsewhere runs in one of its own runs inside this one.

It finds the environment, folder, arguments and modules that a new process would find; afterwards all is as before.
"""

import importlib
import linecache
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import TextIO

IN_WASM = sys.platform in ("emscripten", "wasi")
VARIABLE = "TITO_IN_PAGE"  # 1: as in a browser, wherever this runs
OF_THE_COURSE = ("tinytorch", "tito.recorder")  # their modules, and all that lies in the workspace, are imported anew


def in_page() -> bool:
    return IN_WASM or os.environ.get(VARIABLE) == "1"


def run_here(
    job: Callable[[], object],
    folder: Path,
    variables: dict[str, str],
    arguments: list[str],
    output: TextIO | None = None,
) -> int:
    """Call `job`, in place of a process that starts in `folder`; return its exit status.

    What it prints goes to `output`, None for where ours goes; so does the traceback of an error, which is status 1.
    """
    output = output or sys.stdout
    with like_a_process(folder, variables, arguments), redirect_stdout(output), redirect_stderr(output):
        try:
            status = job()
        except SystemExit as end:
            status = end.code
        except Exception:
            traceback.print_exc()
            return 1
        if isinstance(status, str):
            print(status, file=sys.stderr)
            return 1
    return int(status or 0)


@contextmanager
def like_a_process(folder: Path, variables: dict[str, str], arguments: list[str]) -> Iterator[None]:
    """Inside, this process is as a new one would be; afterwards as before, with what was imported of other packages."""
    before = dict(os.environ), Path.cwd(), sys.argv, sys.path, sys.meta_path
    backend, modules = backend_now(), taken_out(folder)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.argv = arguments
    sys.path = [path for path in before[3] if path and not Path(path).is_relative_to(folder)]
    sys.meta_path = [finder for finder in before[4] if type(finder).__name__ != "Overlay"]  # of another import
    importlib.invalidate_caches()
    linecache.clearcache()
    try:
        yield
    finally:
        taken_out(folder)
        sys.modules.update(modules)
        environment, here, sys.argv, sys.path, sys.meta_path = before
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(here)
        linecache.clearcache()
        put_back(backend)


def taken_out(folder: Path) -> dict[str, ModuleType]:
    """Forget the modules of the course and of the workspace in `folder`: they will be imported anew. Return them."""
    found = {name: module for name, module in [*sys.modules.items()] if is_of_the_course(name, module, folder)}
    for name in found:
        del sys.modules[name]
    return found


def is_of_the_course(name: str, module: ModuleType, folder: Path) -> bool:
    if name in OF_THE_COURSE or name.startswith("tinytorch."):
        return True
    try:
        places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    except Exception:  # a module that answers in its own way
        return False
    return name != "__main__" and any(
        isinstance(place, str) and place.startswith(f"{folder}{os.sep}") for place in places
    )


def backend_now() -> str | None:
    """The backend of matplotlib that a notebook draws with; scripts choose one that draws into files."""
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"].get_backend()
    return os.environ.get("MPLBACKEND")


def put_back(backend: str | None) -> None:
    if backend and "matplotlib" in sys.modules and sys.modules["matplotlib"].get_backend() != backend:
        sys.modules["matplotlib"].use(backend)
