"""A workspace on top of a small course, and `tito` as a student says it there."""
import importlib.util
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

spec = importlib.util.spec_from_file_location("small_course", Path(__file__).with_name("small_course.py"))
small_course = sys.modules["small_course"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(small_course)


@pytest.fixture
def course(tmp_path, monkeypatch):
    "The folder of a small course, which `tito` takes for the installed one."
    from tito import course

    folder = small_course.write_course(tmp_path / "the course")
    monkeypatch.setattr(course, "course_folder", lambda: folder)
    monkeypatch.delenv("TINYTORCH_WORKSPACE", raising=False)
    course.chapters.cache_clear()
    yield folder
    course.chapters.cache_clear()


class Tito:
    "Says `tito` in a workspace."

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, *arguments, status=0):
        "What it printed; it must end with this status."
        from tito.commands import app

        result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
        assert result.exit_code == status, f"status {result.exit_code}:\n{result.output}"
        return result.output

    def notebook(self, name="01_double"):
        return self.folder / "modules" / f"{name}.ipynb"

    def exported(self, path="double.py"):
        return self.folder / "exported" / "tinytorch" / path

    def solve(self, name="01_double", exercise="twice", body="    return x + x\n"):
        small_course.solve(self.notebook(name), exercise, body)

    def files(self):
        "Every file of the workspace with its bytes."
        return {path.relative_to(self.folder).as_posix(): path.read_bytes()
                for path in self.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


@pytest.fixture
def tito(course, tmp_path, monkeypatch):
    "A new workspace, in a folder with a space and an accent, as the current folder."
    folder = tmp_path / "mon réseau"
    workspace = Tito(folder)
    monkeypatch.chdir(tmp_path)
    workspace("new", folder)
    monkeypatch.chdir(folder)
    return workspace
