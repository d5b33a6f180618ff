"""A later failure that comes from an earlier chapter's file of the student's says so; on the real course."""
import pytest
from small_course import Tito

from tito.course import chapter


@pytest.fixture
def student(tmp_path, monkeypatch):
    "A workspace with a function that writes the solutions of a chapter, with one change in them."
    monkeypatch.delenv("TINYTORCH_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)
    tito = Tito(tmp_path / "work")
    tito("new", tito.folder)
    monkeypatch.chdir(tito.folder)

    def write(number, old="", new=""):
        tito("start", number)
        notebook = chapter(number).notebook
        text = notebook.read_text(encoding="utf-8")
        assert old in text
        (tito.folder / "modules" / notebook.name).write_text(text.replace(old, new), encoding="utf-8")
        tito("export", number)

    tito.write = write
    return tito


def test_a_red_chapter_names_the_file_of_another_that_makes_it_red(student):
    student.write("01", "/ (2 * eps)", "/ eps")
    student.write("02")
    said = student("check", "02", status=1)
    assert "your gradcheck.py disagrees with the reference: see 01" in said
    assert "your ops/elementwise.py" not in said


def test_a_chapter_that_is_wrong_itself_blames_no_other(student):
    student.write("01")
    student.write("02", "return x @ y\\n", "return x @ y + 1\\n")
    said = student("check", "02", status=1)
    assert "failed" in said and "disagree" not in said
