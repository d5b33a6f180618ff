"""A workspace on top of a small course, and `tito` as a student says it there."""
import importlib.util
import sys
from pathlib import Path

import pytest

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


@pytest.fixture
def tito(course, tmp_path, monkeypatch):
    "A new workspace, in a folder with a space and an accent, as the current folder."
    folder = tmp_path / "mon réseau"
    workspace = small_course.Tito(folder)
    monkeypatch.chdir(tmp_path)
    workspace("new", folder)
    monkeypatch.chdir(folder)
    return workspace
