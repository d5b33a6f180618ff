"""From `tito release` to points: an honest, a half-finished, a cheating and an endless submission, through nbgrader."""

import csv
import html
import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from tito.commands import app
from tito.course import chapter
from tito.grading.sandbox import why_no_sandbox
from tito.grading.session import end
from tito.instructor import Row, as_csv, autograde, gradebook, release

TRUST = bool(why_no_sandbox())  # these submissions are ours; that others run in a sandbox is tested in tests/grading
CHAPTER = Path(__file__).resolve().parents[2] / "modules" / "07_data.ipynb"
POINTS = {"check-collate": 2, "check-dataset": 2, "check-tensor-dataset": 1, "check-subset": 1, "check-generators": 1,
          "check-random-split": 2, "check-data-loader": 3, "check-loader-resume": 2}  # fmt: skip


def cells_of(notebook):
    """{grade_id: cell} of what nbgrader knows in a notebook."""
    found = [cell for cell in notebook["cells"] if "nbgrader" in cell["metadata"]]
    return {cell["metadata"]["nbgrader"]["grade_id"]: cell for cell in found}


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def source(cell):
    return "".join(cell["source"])


SOLUTIONS = {name: source(cell) for name, cell in cells_of(read(CHAPTER)).items() if name not in POINTS}
STUB = "raise NotImplementedError  # your code here"


def honest(cells, notebook):
    for name, solution in SOLUTIONS.items():
        cells[name]["source"] = solution


def half(cells, notebook):
    honest(cells, notebook)
    cells["loader-pass"]["source"] = SOLUTIONS["loader-pass"].replace("self.dealt += 1", STUB)


def cheating(cells, notebook):
    cells["check-tensor-dataset"]["source"] = "print('fine')"  # edits the check, and its points
    cells["check-tensor-dataset"]["metadata"]["nbgrader"]["points"] = 100
    answer = "return [Subset(dataset, range(7)), Subset(dataset, range(7, 10))]"  # what the visible check asks for
    cells["random-split"]["source"] = source(cells["random-split"]).replace(STUB, answer)
    notebook["cells"].remove(cells["check-data-loader"])  # deletes a check


def endless(cells, notebook):
    honest(cells, notebook)
    never = "    while True: pass\n    ends ="
    cells["random-split"]["source"] = SOLUTIONS["random-split"].replace("    ends =", never)


def hand_in(course, student, edit):
    notebook = read(course / "release" / CHAPTER.stem / CHAPTER.name)
    edit(cells_of(notebook), notebook)
    path = course / "submitted" / student / CHAPTER.stem / CHAPTER.name
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course in which four students have handed in chapter 07, and were graded."""
    folder = tmp_path_factory.mktemp("a course, été")
    release(CHAPTER, folder)
    config = folder / "nbgrader_config.py"
    assert "c.Execute.timeout = 120" in config.read_text()
    config.write_text(config.read_text().replace("timeout = 120", "timeout = 8"))
    for student, edit in (("ann", honest), ("ben", half), ("eve", cheating), ("leo", endless)):
        hand_in(folder, student, edit)
    assert [result.trouble for result in autograde(folder, CHAPTER.stem, limit=240, trust=TRUST)] == [""] * 4
    return folder


def points(course, student):
    return {row.check: row.points for row in gradebook(course, by_check=True) if row.student == student}


def test_what_students_get(course):
    released = cells_of(read(course / "release" / CHAPTER.stem / CHAPTER.name))
    text = "\n".join(source(cell) for cell in released.values())
    assert "HIDDEN" not in text and "BEGIN SOLUTION" not in text and "np.cumsum(sizes)" not in text
    assert all(STUB in source(released[name]) for name in SOLUTIONS)
    assert {name: released[name]["metadata"]["nbgrader"]["points"] for name in POINTS} == POINTS
    assert (course / "source" / CHAPTER.stem / CHAPTER.name).read_bytes() == CHAPTER.read_bytes()


def test_a_right_submission_gets_all_points(course):
    assert points(course, "ann") == POINTS


def test_a_part_gets_its_part(course):
    assert points(course, "ben") == POINTS | {"check-data-loader": 0, "check-loader-resume": 0}


def test_edited_points_and_checks_hard_coded_answers_and_deleted_checks_give_nothing(course):
    assert points(course, "eve") == dict.fromkeys(POINTS, 0)


def test_an_endless_loop_ends_and_costs_only_its_own_points(course):
    assert points(course, "leo") == POINTS | {"check-random-split": 0}


def test_a_submission_has_a_time_limit_as_a_whole(course):
    (result,) = autograde(course, CHAPTER.stem, limit=0.2, students=["ann"], trust=TRUST)
    assert result.trouble == "did not end within 0.2 s"


def test_what_was_started_ends_as_well():
    child = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
    parent = f"{child} start_new_session=True).pid, flush=True); import time; time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True)
    started = psutil.Process(int(process.stdout.readline()))
    end(process)
    assert process.returncode is not None
    with suppress(psutil.NoSuchProcess):
        assert started.wait(10) is None or not started.is_running()


def tito(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False)


def test_the_gradebook_as_csv(course, tmp_path):
    file = tmp_path / "grades.csv"
    (course / "submitted" / "zoe").mkdir(exist_ok=True)
    assert tito("gradebook", "--in", course, "--csv", file).exit_code == 0
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    assert [(row["student"], row["points"], row["max_points"], row["status"]) for row in rows] == [
        ("ann", "14", "14", "graded"), ("ben", "9", "14", "graded"), ("eve", "0", "14", "graded"),
        ("leo", "12", "14", "graded"),
    ]  # fmt: skip
    by_check = tito("gradebook", "--in", course, "--by-check").stdout.splitlines()
    assert by_check[0] == "student,assignment,check,points,max_points,status" and len(by_check) == 1 + 4 * len(POINTS)


def test_a_name_is_no_formula():
    text = as_csv([Row("=1+1", "01", "", 1.5, 2, "graded")])
    assert text.splitlines()[1] == "'=1+1,01,1.5,2,graded"


def test_bad_input(course, tmp_path):
    nothing = tito("gradebook", "--in", tmp_path)
    assert nothing.exit_code == 2 and "not an nbgrader course" in nothing.stderr
    assert tito("release", "99", "--to", tmp_path).exit_code == 2 and not list(tmp_path.iterdir())
    unknown = tito("autograde", "07", "--in", course, "--student", "nobody")
    assert unknown.exit_code == 2 and "no submission of nobody" in unknown.stderr
    unreleased = tito("autograde", "01", "--in", course)
    assert unreleased.exit_code == 2 and "was not released" in unreleased.stderr


def test_another_version_is_not_released_over_the_first(course):
    there = course / "source" / CHAPTER.stem / CHAPTER.name
    kept = there.read_bytes()
    there.write_bytes(kept + b"\n")
    refused = tito("release", "07", "--to", course)
    assert refused.exit_code == 2 and "--force" in refused.stderr and there.read_bytes() == kept + b"\n"
    there.write_bytes(kept)


def test_what_is_no_notebook_is_told_and_costs_the_others_nothing(course):
    path = course / "submitted" / "mia" / CHAPTER.stem / CHAPTER.name
    path.parent.mkdir(parents=True)
    path.write_text("{")
    result = tito("autograde", "07", "--in", course, "--student", "mia", *(["--trust"] if TRUST else []))
    assert result.exit_code == 1 and "mia was not graded" in result.stderr and "not a notebook" in result.stderr
    assert [row.status for row in gradebook(course) if row.student == "mia"] == ["not graded"]
    assert points(course, "ann") == POINTS


def test_the_environment_need_not_be_activated(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    release(chapter("07").notebook, tmp_path / "course")
    assert (tmp_path / "course" / "release" / "07_data" / "07_data.ipynb").exists()


def test_without_a_sandbox_nothing_runs_unless_it_is_trusted(course, monkeypatch):
    (course / "submitted" / "tim" / CHAPTER.stem).mkdir(parents=True)
    there = course / "submitted" / "ann" / CHAPTER.stem / CHAPTER.name
    (course / "submitted" / "tim" / CHAPTER.stem / CHAPTER.name).write_bytes(there.read_bytes())
    monkeypatch.setenv("PATH", "")
    refused = tito("autograde", "07", "--in", course, "--student", "tim")
    assert refused.exit_code == 2 and "bubblewrap" in refused.stderr and "--trust" in refused.stderr
    assert not (course / "autograded" / "tim").exists()
    trusted = tito("autograde", "07", "--in", course, "--student", "tim", "--trust")
    assert trusted.exit_code == 0 and points(course, "tim") == POINTS


def test_what_cells_print_and_draw_is_in_the_graded_notebook(course):
    graded = read(course / "autograded" / "ann" / CHAPTER.stem / CHAPTER.name)
    outputs = [output for cell in graded["cells"] for output in cell.get("outputs", [])]
    assert any(output.get("name") == "stdout" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)


def fenced(page):
    "The commands of the fenced blocks of a page, in their order, but for what installs."
    blocks = re.findall(r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if "install" not in line]


def test_the_loop_of_the_page(tmp_path):
    "docs/instructors.md, command after command: ann is right, leo never ends, mia's file has another name."
    commands = fenced(CHAPTER.parents[1] / "docs" / "instructors.md")
    assert [command.split()[1] for command in commands if command.startswith("tito")] == [
        "release", "autograde", "gradebook", "gradebook", "feedback", "autograde", "feedback", "gradebook"]
    course, said = tmp_path / "course", []
    shell = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    trust = " --trust" if TRUST else ""
    for command in commands:
        command += trust if "autograde" in command else ""
        done = subprocess.run(["bash", "-ec", command], cwd=tmp_path, env=os.environ | shell, capture_output=True,
                              text=True)
        said.append((command, done.returncode, done.stdout + done.stderr))
        if command.startswith("tito release"):
            config = course / "nbgrader_config.py"
            config.write_text(config.read_text().replace("timeout = 120", "timeout = 3"))
            for student, edit in (("ann", half), ("leo", endless), ("mia", honest)):
                hand_in(course, student, edit)
            mine = course / "submitted" / "mia" / CHAPTER.stem
            (mine / CHAPTER.name).rename(mine / "07_data (1).ipynb")
            (tmp_path / "handed-in").mkdir()
            shutil.move(course / "submitted/ann" / CHAPTER.stem / CHAPTER.name, tmp_path / "handed-in/ann.ipynb")
    assert [status for _, status, _ in said] == [1 if "autograde" in command and "--student" not in command else 0
                                                 for command, *_ in said], said
    first = next(text for command, _, text in said if command.startswith("tito autograde"))
    assert "is it 07_data (1).ipynb? Rename it" in first and first.count("  graded") >= 2
    grades = {row.student: row for row in gradebook(course)}
    assert 0 < grades["ann"].points < grades["ann"].max_points and grades["mia"].status == "not graded"
    assert points(course, "leo")["check-random-split"] == 0 < grades["leo"].points
    hidden, page = hidden_lines(), course / "feedback" / "ann" / CHAPTER.stem / "07_data.html"
    assert len(hidden) > 10 and not [line for line in hidden if line in words(page)]
    assert "hidden tests are left out here" in words(page)
    assert CliRunner().invoke(app, ["feedback", "07", "--in", str(course), "--with-hidden-tests"]).exit_code == 0
    assert [line for line in hidden if line in words(page)] == hidden


def words(page):
    "What a page shows, without its tags."
    return html.unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def hidden_lines():
    "Lines of hidden tests that stand nowhere else in the notebook."
    cells = [source(cell) for cell in read(CHAPTER)["cells"]]
    hidden = [part.split("### END HIDDEN")[0] for text in cells for part in text.split("### BEGIN HIDDEN TESTS")[1:]]
    visible = "\n".join(text.split("### BEGIN HIDDEN")[0] for text in cells)
    lines = [line.strip() for part in hidden for line in part.splitlines()]
    return [line for line in lines if len(line) > 25 and line not in visible]
