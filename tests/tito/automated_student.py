"""A student who knows all the answers goes through the course as it is installed, chapter after chapter.

    python tests/tito/automated_student.py [--first 01] [--only 04 11] [--fresh] [--milestone reversal]

For each chapter: `tito start`; the stripped notebook, run by a Jupyter kernel, stops at the first exercise; its tests
are red; the reference's solutions go into the cells; the notebook runs to its end; `tito export`; `tito test` is green.
In the end a milestone passes, with what was written. The course comes from a wheel: unpacked beside the installed
packages, or, with --fresh, installed with all its dependencies into a new environment.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Student:
    "Somebody in `folder` who has `python` and says `tito` to it."

    def __init__(self, folder, python, environment, report=print):
        self.workspace, self.python, self.report = Path(folder), python, report
        self.environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"} | environment
        for name in ("TINYTORCH_WORKSPACE", "CI"):
            self.environment.pop(name, None)

    def run(self, *command, cwd=None, status=0):
        "Output of a command, which must end with `status`."
        done = subprocess.run([str(self.python), *map(str, command)], cwd=cwd or self.workspace, env=self.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", errors="replace")
        assert done.returncode == status, f"{command}: exit status {done.returncode}, not {status}:\n{done.stdout}"
        return done.stdout

    def tito(self, *arguments, **options):
        return self.run("-m", "tito", *arguments, **options)

    def kernel(self, notebook, status=0):
        "Run a notebook from top to bottom in a Jupyter kernel, where it lies, and return what was said."
        program = "import sys; from nbclient.cli import main; sys.argv[0] = 'jupyter execute'; main()"
        return self.run("-c", program, "--kernel_name=python3", notebook, cwd=notebook.parent, status=status)

    def chapter(self, number, course, again=True):
        "From the start of a chapter until it is green; `again` runs the notebook on its own files in the end."
        begun = time.perf_counter()
        self.tito("start", number)
        notebook = next((self.workspace / "modules").glob(f"{number}_*.ipynb"))
        said = self.kernel(notebook, status=1)
        assert "NotImplementedError" in said, f"the stripped notebook did not stop at an exercise:\n{said}"
        said = self.tito("test", number, status=1)
        red = int(re.search(r"(\d+) failed", said)[1])
        assert "not written yet" in said and red and "pytest could not" not in said, said
        solve(notebook, course / "modules" / notebook.name)
        self.kernel(notebook)
        said = self.tito("export", number)
        assert "note:" not in said, said
        said = self.tito("test", number)
        green = int(re.search(r"(\d+) passed", said)[1])
        assert notebook.stem in self.tito("status") and "green" in said, said
        if again:
            self.kernel(notebook)
        self.report(f"{notebook.stem:20} red: {red:3} failed   green: {green:3} passed   "
                    f"{time.perf_counter() - begun:6.1f} s")

    def written_before(self, number, course):
        "A chapter that somebody wrote and exported some other day."
        self.tito("start", number)
        notebook = next((self.workspace / "modules").glob(f"{number}_*.ipynb"))
        solve(notebook, course / "modules" / notebook.name)
        self.tito("export", number)

    def course_folder(self):
        code = "from tito.course import course_folder; print(course_folder())"
        return Path(self.run("-c", code, cwd=self.workspace.parent).strip())


def solve(notebook, reference):
    "Put the reference's solutions into the cells of the exercises; nothing else is touched."
    mine, theirs = (json.loads(path.read_text(encoding="utf-8")) for path in (notebook, reference))
    solutions = {cell["id"]: cell for cell in theirs["cells"] if "### BEGIN SOLUTION" in "".join(cell["source"])}
    for cell in mine["cells"]:
        if cell["id"] in solutions:
            assert "raise NotImplementedError" in "".join(cell["source"]), "the solution was there already"
            cell["source"] = solutions[cell["id"]]["source"]
    notebook.write_text(json.dumps(mine, indent=1, ensure_ascii=False), encoding="utf-8")


def build_wheel(folder):
    "A wheel of this repository, in `folder`."
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = Path(folder).glob("*.whl")
    return wheel


def unpacked(folder):
    "(python, environment) with the wheel in front of what is installed here; what only parity tests want is hidden."
    shutil.unpack_archive(build_wheel(folder), Path(folder) / "installed", "zip")
    (Path(folder) / "hidden").mkdir()
    for name in ("torch", "tokenizers", "tiktoken"):
        path = Path(folder) / "hidden" / f"{name}.py"
        path.write_text(f"raise ModuleNotFoundError('not for students', name={name!r})\n")
    return sys.executable, {"PYTHONPATH": os.pathsep.join(f"{folder}/{part}" for part in ("installed", "hidden"))}


def installed(folder):
    "(python, environment) of a new virtual environment, where only the wheel and what it asks for is installed."
    wheel = build_wheel(folder)
    subprocess.run([sys.executable, "-m", "venv", str(Path(folder) / "venv")], check=True)
    python = Path(folder) / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", f"{wheel}[course]"], check=True)
    return python, {"PYTHONPATH": ""}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", default="01", help="the chapter to begin with (default 01); not those before it")
    parser.add_argument("--written", action="store_true", help="those before --first are written and exported already")
    parser.add_argument("--only", nargs="*", help="only these chapters")
    parser.add_argument("--fresh", action="store_true", help="in a new virtual environment")
    parser.add_argument("--brief", action="store_true", help="do not run notebooks again once they are exported")
    parser.add_argument("--milestone", default="reversal", help="what to run in the end (default reversal)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="student-") as folder:
        begun = time.perf_counter()
        student = Student(Path(folder) / "work", *(installed if args.fresh else unpacked)(folder))
        student.tito("new", student.workspace, cwd=folder)
        course = student.course_folder()
        print(f"course in {course}")
        numbers = [path.name[:2] for path in sorted((course / "modules").glob("*.ipynb"))]
        for number in numbers:
            if number in args.only if args.only else number >= args.first:
                student.chapter(number, course, again=not args.brief)
            elif args.written:
                student.written_before(number, course)
        print(student.tito("status"))
        print(student.tito("milestone", "run", args.milestone, *(["--anyway"] if args.written else [])))
        print(student.tito("milestone", "list"))
        print(f"{time.perf_counter() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
