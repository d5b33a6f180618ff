"""The overlay: inside a student's workspace, each file that they exported takes the place of the reference's.

`tito new` makes a workspace and `tito export` writes `exported/tinytorch/...` there. A workspace is found through the
environment variable TINYTORCH_WORKSPACE, else from the current folder upwards; without one nothing happens here.
"""
import ast
import itertools
import json
import os
import re
import sys
import traceback
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

__all__ = [
    "VARIABLE", "STUBS", "FAST_STUDENT", "MARKER", "NOTEBOOKS", "EXPORTED", "OPEN_EXERCISE", "NOT_WRITTEN", "Overlay",
    "find_workspace", "install_overlay", "described", "cell_of",
]

VARIABLE = "TINYTORCH_WORKSPACE"  # a folder; empty switches the overlay off
STUBS = "TINYTORCH_STUBS"  # files whose stubs count, with commas between; for others the reference stands in
FAST_STUDENT = "TINYTORCH_FAST_STUDENT"  # 1: tinytorch.fast may replace operations of exported files as well
MARKER = Path(".tito", "workspace.json")  # this and the folders: relative to the workspace
NOTEBOOKS = Path("modules")
EXPORTED = Path("exported", "tinytorch")
NOT_WRITTEN = "not written yet: "  # how the message of a stub begins
OPEN_EXERCISE = re.compile(r"^[ \t]*raise NotImplementedError(\(\))?[ \t]*(#.*)?$", re.MULTILINE)


def find_workspace():
    "Return the folder of the workspace that this process runs in, or None. Raises: ImportError for a wrong VARIABLE."
    named = os.environ.get(VARIABLE)
    if named is not None:
        if named and not (Path(named) / MARKER).is_file():
            raise ImportError(f"{VARIABLE}={named}: expected a folder made by `tito new`, but {MARKER} is not there")
        return Path(named).resolve() if named else None
    try:
        here = Path.cwd()
    except OSError:  # the current folder was deleted
        return None
    return next((folder for folder in (here, *here.parents) if (folder / MARKER).is_file()), None)


class Overlay:
    """A finder for `sys.meta_path`: the modules of `workspace`, and those that the reference stands in for.
    A stub, whose exercises are open, is what the tests of its chapter should see: they begin red. Other chapters, the
    milestones and notebooks should not: a cell may import from the file that the cells above it are about.
    `stubs`: the open files that count all the same; None for all."""
    def __init__(self, workspace, stubs=None):
        package = workspace / EXPORTED
        files = {path.relative_to(package).as_posix(): path for path in sorted(package.rglob("*.py"))}
        self.open = {path: count for path, file in files.items() if (count := open_exercises(file))}
        self.stand_in = [] if stubs is None else sorted(self.open.keys() - set(stubs))
        self.yours = [path for path in files if path not in self.stand_in]
        self.modules = {f"tinytorch.{path.removesuffix('.py').replace('/', '.')}": files[path] for path in self.yours}

    def find_spec(self, name, path=None, target=None):
        file = self.modules.get(name)
        return file and spec_from_file_location(name, file, loader=StudentFile(name, str(file)))

    def __str__(self):
        yours = [f"{path} ({plural(self.open[path], 'open exercise')})" if path in self.open else path
                 for path in self.yours]
        text = f"yours: {', '.join(yours) or 'no file yet'}; the reference: all the rest"
        if self.stand_in:
            text += f", and {', '.join(self.stand_in)} as long as exercises there are open"
        return text


class StudentFile(SourceFileLoader):
    "Load an exported file, and say of an error in it which cell of the notebook it comes from."
    def get_code(self, name):
        source = self.get_data(self.path)  # no cache: old code never runs
        chapter = re.match(rb".*?([^/\s]+)\.ipynb", source)
        file = "/".join(name.split(".")[1:]) + ".py"
        tree = with_named_stubs(ast.parse(source, self.path), file, chapter[1].decode() if chapter else "")
        return self.source_to_code(tree, self.path)

    def exec_module(self, module):
        try:
            super().exec_module(module)
        except Exception as error:
            line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else last_line(error, self.path)
            cell = line and cell_of(self.path, line)
            if cell:
                error.add_note(f"This is your {cell['text']}; change it there, and `tito export` again.")
            raise


def with_named_stubs(tree, file, chapter):
    "Return `tree` with bare `raise NotImplementedError` that say which function of which file is not written yet."
    end = f" (chapter {chapter})" if chapter else ""
    waiting = [(tree, [])]
    while waiting:
        node, names = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names = [*names, node.name]
        elif names and is_stub(node):
            text = ast.Constant(f"{NOT_WRITTEN}{file}, {'.'.join(names)}{end}")
            node.exc = ast.Call(ast.Name("NotImplementedError", ast.Load()), [text], [])
        waiting += [(child, names) for child in ast.iter_child_nodes(node)]
    return ast.fix_missing_locations(tree)


def is_stub(node):
    "Return whether this node is `raise NotImplementedError`, without a message."
    raised = node.exc if isinstance(node, ast.Raise) else None
    if isinstance(raised, ast.Call) and not raised.args and not raised.keywords:
        raised = raised.func
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"


def install_overlay():
    "Put the files of the workspace, if there is one, in front of the reference; a notebook or terminal hears of it."
    workspace = find_workspace()
    if workspace is None or any(isinstance(finder, Overlay) for finder in sys.meta_path):
        return
    in_notebook = "ipykernel" in sys.modules
    stubs = os.environ.get(STUBS)
    overlay = Overlay(workspace, [] if in_notebook else stubs if stubs is None else stubs.split(","))
    sys.meta_path.insert(0, overlay)
    if in_notebook or sys.stderr is not None and sys.stderr.isatty():
        print(f"tinytorch in {workspace}\n  {overlay}", file=sys.stdout if in_notebook else sys.stderr)


def described():
    "Return in one line which files are the student's; outside a workspace, the empty text."
    return next((str(finder) for finder in sys.meta_path if isinstance(finder, Overlay)), "")


# ---- from an exported file back to the notebook

def cell_of(file, line):
    """Return where line `line` (from 1) of an exported file stands in its notebook; None where that cannot be told.
    A dict: notebook, cell (from 1), line (in the cell), exercise ("" for none, and in open form), text. The cell is the
    one that shares the longest run of lines around it, so this works for broken code as well."""
    exported = [text.rstrip() for text in Path(file).read_text(encoding="utf-8", errors="replace").split("\n")]
    name = re.search(r"[^/\s]+\.ipynb", exported[0])
    workspace = next((up for up in Path(file).parents if (up / MARKER).is_file()), None)
    if not name or workspace is None or not 0 < line <= len(exported):
        return None
    try:
        content = json.loads((workspace / NOTEBOOKS / name[0]).read_text(encoding="utf-8"))
        sources = [(number, cell, "".join(cell["source"])) for number, cell in enumerate(content["cells"], 1)]
        in_open_form = content.get("metadata", {}).get("tito", {}).get("depth") == "open"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    best = 0, None
    for number, cell, source in sources:
        if cell["cell_type"] == "code" and source.lstrip().startswith("#|"):
            rows = [(row, text.rstrip()) for row, text in enumerate(source.split("\n"), 1)
                    if not re.fullmatch(r"\s*### (BEGIN|END) SOLUTION\s*", text)]
            lines = [text for _, text in rows]
            for place, (row, text) in enumerate(rows):
                if text == exported[line - 1] and (run := 1 + shared_run(lines, place, exported, line - 1)) > best[0]:
                    best = run, (number, row, cell)
    if best[1] is None:
        return None
    number, row, cell = best[1]
    exercise = "" if in_open_form else (cell["metadata"].get("nbgrader") or {}).get("grade_id", "")
    text = f"notebook {name[0]}, cell {number}, line {row}" + (f" (exercise {exercise})" if exercise else "")
    return {"notebook": name[0], "cell": number, "line": row, "exercise": exercise, "text": text}


def shared_run(a, i, b, j):
    "Return how many lines around a[i] and b[j] are the same."
    pairs = zip(reversed(a[:i]), reversed(b[:j])), zip(a[i:], b[j:])
    return sum(1 for half in pairs for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], half))


def last_line(error, path):
    "Return the last line of the file `path` that the error came through, or None."
    lines = [line for frame, line in traceback.walk_tb(error.__traceback__) if frame.f_code.co_filename == path]
    return lines[-1] if lines else None


def open_exercises(file):
    return len(OPEN_EXERCISE.findall(file.read_text(encoding="utf-8", errors="replace")))


def plural(count, noun):
    return f"{count} {noun}{'' if count == 1 else 's'}"
