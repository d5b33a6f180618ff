"""A student who knows all the answers goes through the course as it is installed, chapter after chapter.

    python tests/tito/automated_student.py [--first 01] [--only 04 11] [--open] [--fresh]
        [--milestone reversal 'copilot --quick']
    python tests/tito/automated_student.py --solutions tests/another_hand [--only 04 11] [--suites]

For each chapter: `tito start`; the stripped notebook, run by a Jupyter kernel, stops at the first exercise; its tests
are red; the reference's solutions go into the cells; the notebook runs to its end; `tito export`; `tito test` is green.
In the end a milestone passes, with what was written. The course comes from a wheel: unpacked beside the installed
packages, or, with --fresh, installed with all its dependencies into a new environment.

--open does the same in open form, where every function is written. --solutions takes what another hand wrote, a file
FOLDER/nn/attention.py for each that they replace, and puts it into the open notebook as one cell. With --suites nothing
is installed and no notebook runs: the files lie over the package, and pytest runs the suites of their chapters.
"""
import argparse
import ast
import compileall
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT))

from tito.course import chapter, chapters  # noqa: E402
from tito.overlay import EXPORTED, MARKER  # noqa: E402
from tito.strip import exporting, without_markers  # noqa: E402

FAILING_CELLS = """
import json, sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="python3", allow_errors=True, timeout=900).execute()
found = []
for number, cell in enumerate(notebook.cells, 1):
    for output in cell.get("outputs", []):
        if output.output_type == "error":
            grading = cell.metadata.get("nbgrader") or {}
            check = grading.get("grade_id") if grading.get("grade") else None
            found.append([number, check, f"{output.ename}: {output.evalue}"])
print(json.dumps(found))
"""
numbers = count(1)


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

    def failing_cells(self, notebook):
        "[(number of the cell, name of the check that it is, or None, its error)] of a notebook that runs to its end."
        return json.loads(self.run("-W", "ignore", "-c", FAILING_CELLS, notebook, cwd=notebook.parent).splitlines()[-1])

    def chapter(self, number, course, again=True, depth="guided", solutions=None):
        """From the start of a chapter until it is green; `again` runs the notebook on its own files in the end.

        solutions: a folder with modules of another hand's. Cells that look at insides may fail on them, checks not.
        """
        begun = time.perf_counter()
        notebook, red = self.begin(number, depth)
        green = self.finish(notebook, course, again, depth, solutions)
        self.report(f"{notebook.stem:20} red: {red:3} failed   green: {green:3} passed   "
                    f"{time.perf_counter() - begun:6.1f} s")

    def begin(self, number, depth):
        "Start a chapter, which stops at its first exercise and whose suite is red: (its notebook, how many tests are)."
        self.tito("start", number, f"--{depth}")
        notebook = next((self.workspace / "modules").glob(f"{number}_*.ipynb"))
        said = self.kernel(notebook, status=1)
        assert "NotImplementedError" in said, f"the {depth} notebook did not stop at an exercise:\n{said}"
        said = self.tito("test", number, status=1)
        red = int(re.search(r"(\d+) failed", said)[1])
        assert "not written yet" in said and red and "pytest could not" not in said, said
        return notebook, red

    def finish(self, notebook, course, again=True, depth="guided", solutions=None):
        "From a begun notebook to a green chapter, as `chapter`; returns how many tests passed."
        number = notebook.stem[:2]
        if depth == "open":
            write_all(notebook, course / "modules" / notebook.name, solutions)
        else:
            solve(notebook, course / "modules" / notebook.name)
        if solutions:
            failing = self.failing_cells(notebook)
            for cell, check, error in failing:
                self.report(f"{notebook.name}, cell {cell}{', ' + check if check else ''}: {error}")
            assert not any(check for _, check, _ in failing), "checks that look at insides"
        else:
            self.kernel(notebook)
        said = self.tito("export", number)
        assert solutions or "note:" not in said, said  # another hand has other helpers, and it is said which are gone
        said = self.tito("test", number)
        green = int(re.search(r"(\d+) passed", said)[1])
        assert notebook.stem in self.tito("status") and "green" in said, said
        if again and not solutions:
            self.kernel(notebook)
        return green

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


def write_all(notebook, reference, solutions=None):
    """Write every function of a notebook in open form: as the reference has them, cell by cell; or, where the folder
    `solutions` has the module, that module in one cell where its first one was.
    """
    mine, theirs = (json.loads(path.read_text(encoding="utf-8")) for path in (notebook, reference))
    assert mine["metadata"]["tito"] == {"depth": "open"} and "raise NotImplementedError" in json.dumps(mine)
    left, cells, begun = {cell["id"]: cell for cell in mine["cells"]}, [], set()
    paths = {cell["id"]: path for cell, path in exporting(theirs)}
    for cell in theirs["cells"]:
        path, source = paths.get(cell["id"]), without_markers("".join(cell["source"]))
        if path and (text := solution(solutions, path)):
            imports = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
            if imports:  # what the open notebook imports for its checks
                cells.append(code_cell("\n".join(map(ast.unparse, imports))))
            if path not in begun:
                begun.add(path)
                directive = next(line for line in source.split("\n") if line.startswith("#| export"))
                cells += [code_cell(f"{directive}\n{text}"), code_cell(f"{variable(path)} = dict(globals())")]
            names = [node.name for node in ast.parse(source).body if hasattr(node, "name")]
            cells.append(code_cell(f"globals().update({{n: v for n, v in {variable(path)}.items() if n in {names}}})"))
        elif path:
            cells.append(left.get(cell["id"], cell) | {"source": source})
        elif cell["id"] in left:  # an exercise that is not exported has a solution as well
            answer = {"source": source} if "### BEGIN SOLUTION" in "".join(cell["source"]) else {}
            cells.append(left[cell["id"]] | answer)
    notebook.write_text(json.dumps(mine | {"cells": cells}, indent=1, ensure_ascii=False), encoding="utf-8")


def solution(folder, path):
    "The text of a module in a folder of solutions, without the `__all__` that the export writes; None for none."
    if not folder or not (Path(folder) / path).is_file():
        return None
    text = (Path(folder) / path).read_text(encoding="utf-8")
    lines = text.split("\n")
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            lines[node.lineno - 1:node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "\n".join(lines).strip("\n")


def variable(path):
    return f"written_in_{path.removesuffix('.py').replace('/', '_')}"


def code_cell(source):
    return {"cell_type": "code", "id": f"hand-{next(numbers)}", "metadata": {}, "source": source, "outputs": [],
            "execution_count": None}


# ---- suites without a notebook

def lay_over(solutions, folder):
    "A workspace in which all modules of a folder of solutions are exported; returns their paths in the package."
    paths = [path.relative_to(solutions).as_posix() for path in sorted(Path(solutions).rglob("*.py"))
             if not path.name.startswith("test_")]
    for path in paths:
        target = Path(folder) / EXPORTED / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(solutions) / path, target)
    (Path(folder) / MARKER).parent.mkdir(parents=True, exist_ok=True)
    (Path(folder) / MARKER).write_text("{}")
    return paths


def run_suites(solutions, only=(), options=("-q",)):
    "Run the suites of the chapters that `solutions` have modules of, over those modules; pytest's exit status."
    with tempfile.TemporaryDirectory(prefix="hand-") as folder:
        paths = lay_over(solutions, folder)
        suites = [f"tests/{made.name}" for made in chapters() if set(paths) & set(made.files)
                  and (not only or made.number in only)]
        environment = os.environ | {"TINYTORCH_WORKSPACE": folder, "PYTHONPATH": str(ROOT)}
        return subprocess.run([sys.executable, "-m", "pytest", *options, *suites], cwd=ROOT, env=environment).returncode


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
    for package in ("tinytorch", "tito"):  # as pip does: not anew in each of a student's many processes
        compileall.compile_dir(Path(folder) / "installed" / package, rx=re.compile(r"[/\\]course[/\\]"), quiet=1)
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
    parser.add_argument("--open", action="store_true", help="in open form")
    parser.add_argument("--solutions", type=Path, metavar="FOLDER", help="modules of another hand, in open form")
    parser.add_argument("--suites", action="store_true", help="only the suites of the chapters, over --solutions")
    parser.add_argument("--milestone", nargs="*", default=["reversal"], metavar="'NAME OPTIONS'",
                        help="what to run in the end (default reversal), such as 'copilot --quick'; nothing for none")
    args = parser.parse_args()
    if args.suites and not args.solutions:
        parser.error("--suites: expected --solutions FOLDER")
    if args.suites:
        sys.exit(run_suites(args.solutions, args.only or ()))
    depth = "open" if args.open or args.solutions else "guided"
    with tempfile.TemporaryDirectory(prefix="student-") as folder:
        begun = time.perf_counter()
        student = Student(Path(folder) / "work", *(installed if args.fresh else unpacked)(folder))
        student.tito("new", student.workspace, cwd=folder)
        course = student.course_folder()
        print(f"course in {course}")
        numbers = [path.name[:2] for path in sorted((course / "modules").glob("*.ipynb"))]
        for number in numbers:
            if args.solutions and not any(solution(args.solutions, path) for path in chapter(number).files):
                continue
            if number in args.only if args.only else number >= args.first:
                student.chapter(number, course, not args.brief, depth, args.solutions)
            elif args.written:
                student.written_before(number, course)
        print(student.tito("status"))
        for words in args.milestone:
            anyway = ["--anyway"] if args.written or args.only else []
            print(student.tito("milestone", "run", *shlex.split(words), *anyway))
        print(student.tito("milestone", "list"))
        print(f"{time.perf_counter() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
