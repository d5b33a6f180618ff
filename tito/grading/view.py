"""The package as a submission sees it: the reference, but the chapter that is graded not yet written."""

import shutil
import tempfile
from pathlib import Path

from tito.course import HERE
from tito.export import Module, export
from tito.overlay import PACKAGE_FOLDER
from tito.strip import notebook_bytes, stripped

OURS = ("__init__.py", "overlay.py", "grading/__init__.py", "grading/plain.py", "grading/process.py")


def make_view(source: Path, folder: Path, except_for: list[str] | None) -> None:
    """Copy into `folder` what can be imported in the sandbox.

    What the notebook `source`, with solutions, exports is not yet written there, except for the modules that cells of
    its own import; with None all of it is. Raises TitoError where that is no notebook that exports something.
    """
    shutil.copytree(PACKAGE_FOLDER, folder / "tinytorch", ignore=shutil.ignore_patterns("__pycache__"))
    for module in stubs(source) if except_for is not None else []:
        if f"tinytorch.{module.path[:-3].replace('/', '.')}" not in except_for:
            (folder / "tinytorch" / module.path).write_text(module.text, encoding="utf-8")
    for name in OURS:
        (folder / "tito" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / name, folder / "tito" / name)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)


def stubs(source: Path) -> list[Module]:
    with tempfile.TemporaryDirectory(prefix="tito-") as folder:
        notebook = Path(folder, source.name)
        notebook.write_bytes(notebook_bytes(stripped(source)))
        return export(notebook)
