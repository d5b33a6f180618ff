"""The overlay: inside a student's workspace, each file that they exported takes the place of the reference's.

`tito new` makes a workspace and `tito export` writes `exported/tinytorch/...` there. A workspace is found through the
environment variable TINYTORCH_WORKSPACE, else from the current folder upwards; without one nothing happens here.
`import tinytorch` begins here, so this file needs nothing else; and `tito` works where what was exported is broken.
"""
import ast
import difflib
import itertools
import json
import os
import re
import sys
import traceback
from importlib.machinery import SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).resolve().parents[1] / "tinytorch"  # the reference; both are installed side by side
VARIABLE = "TINYTORCH_WORKSPACE"  # a folder; empty switches the overlay off
STUBS = "TINYTORCH_STUBS"  # files whose stubs count, with commas between; for others the reference stands in
REPLACED = "TINYTORCH_REPLACED"  # files, with commas between, for which the reference stands in all the same
FAST_STUDENT = "TINYTORCH_FAST_STUDENT"  # 1: tinytorch.fast may replace operations of exported files as well
MARKER = Path(".tito", "workspace.json")  # this and the folders: relative to the workspace
NOTEBOOKS = Path("modules")
EXPORTED = Path("exported", "tinytorch")
NOT_WRITTEN = "not written yet: "  # how the message of a stub begins
OPEN_EXERCISE = re.compile(  # bare, or with the name of what is to be written
    r"^[ \t]*raise NotImplementedError"
    r"(\((['\"](?P<name>.*) is (still open|not written yet): replace this line['\"])?\))?[ \t]*(#.*)?$", re.MULTILINE)


def find_workspace():
    """Return the folder of the workspace that this process runs in, or None. Raises: ImportError for a wrong VARIABLE.
    One that is found further up and is another user's is not used, which is said: to name it is to trust it."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        if named and not (Path(named) / MARKER).is_file():
            raise ImportError(f"{VARIABLE}={named}: expected a folder made by `tito new`, but {MARKER} is not there")
        return Path(named).resolve() if named else None
    try:
        here = Path.cwd()
    except OSError:  # the current folder was deleted
        return None
    found = next((folder for folder in (here, *here.parents) if (folder / MARKER).is_file()), None)
    if found and (path := of_another_user(found)):
        print(f"tinytorch: nothing of the workspace {found} is used, for {path} belongs to another user;"
              f" if you trust them with all that you may do: export {VARIABLE}={found}", file=sys.stderr)
        return None
    return found


def of_another_user(workspace):
    "Return what of a workspace belongs neither to us nor to root, or None."
    us = {0, os.geteuid(), int(os.environ.get("SUDO_UID", 0))} if hasattr(os, "geteuid") else ()
    exported = workspace / EXPORTED.parts[0]
    parts = itertools.chain([workspace, workspace / MARKER.parent, workspace / MARKER, exported], exported.rglob("*"))
    return next((path for path in parts if us and os.path.lexists(path) and path.lstat().st_uid not in us), None)


def exported_files(workspace):
    "Return {path in the package: file} of what was exported. Raises: ImportError for a link, and for what is no file."
    package = workspace / EXPORTED
    for path in itertools.chain([package.parent, package], package.rglob("*")):
        if path.is_symlink() or path.suffix == ".py" and not path.is_file():
            raise ImportError(f"{path}: expected what `tito export` writes, but it is a link or no file: remove it")
    return {path.relative_to(package).as_posix(): path for path in sorted(package.rglob("*.py"))}


class Overlay:
    """A finder for `sys.meta_path`: the modules of `workspace`, and those that the reference stands in for.
    A stub, whose exercises are open, is what the tests of its chapter should see: they begin red. Other chapters, the
    milestones and notebooks should not: a cell may import from the file that the cells above it are about.
    `stubs`: the open files that count all the same; None for all."""
    def __init__(self, workspace, stubs=None):
        files = exported_files(workspace)
        texts = {path: file.read_text(encoding="utf-8", errors="replace") for path, file in files.items()}
        self.open = {path: count for path, text in texts.items() if (count := open_exercises(text))}
        self.stand_in = [] if stubs is None else sorted(self.open.keys() - set(stubs))
        self.stand_in += sorted(files.keys() & set(os.environ.get(REPLACED, "").split(",")) - set(self.stand_in))
        self.yours = [path for path in files if path not in self.stand_in]
        self.modules = {f"tinytorch.{path.removesuffix('.py').replace('/', '.')}": files[path] for path in self.yours}
    def find_spec(self, name, path=None, target=None):
        file = self.modules.get(name)
        return file and spec_from_file_location(name, file, loader=StudentFile(name, str(file)))
    def __str__(self):
        still = {path: f" ({n} open exercise{'s' * (n > 1)})" for path, n in self.open.items()}
        yours = [path + still.get(path, "") for path in self.yours]
        text = f"yours: {', '.join(yours) or 'no file yet'}; the reference: all the rest"
        if self.stand_in:
            text += f", and {', '.join(self.stand_in)} as long as exercises there are open"
        return text


class StudentFile(SourceFileLoader):
    "Load an exported file, and say of an error in it which cell of the notebook it comes from."
    of_student = True  # for tinytorch.fast, which replaces nothing in it unasked
    def get_code(self, name):
        source = self.get_data(self.path)  # no cache: old code never runs
        chapter = re.match(rb".*?([^/\s]+)\.ipynb", source)
        end = f" (chapter {chapter[1].decode()})" if chapter else ""
        tree = with_named_stubs(ast.parse(source, self.path), "/".join(name.split(".")[1:]) + ".py, {}" + end)
        return self.source_to_code(ast.fix_missing_locations(tree), self.path)
    def exec_module(self, module):
        try:
            super().exec_module(module)
        except Exception as error:
            lines = [line for frame, line in traceback.walk_tb(error.__traceback__)
                     if frame.f_code.co_filename == self.path]
            if isinstance(error, SyntaxError) and error.filename == self.path and error.lineno:
                lines = [error.lineno]
            if lines and (cell := cell_of(self.path, lines[-1])):
                error.add_note(f"This is your {cell['text']}; change it there, and `tito export` again.")
            raise


def with_named_stubs(node, text, names=()):
    "Return the tree `node`; each `raise` of an open exercise gets `text`, where the function's name fills the {}."
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        names = (*names, node.name)
    elif names and is_stub(node):
        message = ast.Constant(NOT_WRITTEN + text.format(".".join(names)))
        node.exc = ast.Call(ast.Name("NotImplementedError", ast.Load()), [message], [])
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr):  # there are no statements in there
            with_named_stubs(child, text, names)
    return node


def open_exercises(text):
    "Return how many exercises are open in the source `text`; several places that name the same one are one."
    return len({match["name"] or match.start() for match in OPEN_EXERCISE.finditer(text)})


def is_stub(node):
    "Return whether this node is the `raise NotImplementedError` of an open exercise."
    return isinstance(node, ast.Raise) and bool(OPEN_EXERCISE.fullmatch(ast.unparse(node)))


def install_overlay():
    "Put the files of the workspace, if there is one, in front of the reference; a notebook or terminal hears of it."
    workspace = find_workspace()
    if workspace is None or any(isinstance(finder, Overlay) for finder in sys.meta_path):
        return
    stubs = os.environ.get(STUBS)
    in_notebook = stubs is None and not sys.modules.keys().isdisjoint({"ipykernel", "pyodide_kernel"})
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
    A dict: notebook, cell (from 1), line (in the cell), exercise ("" for none, and in open form), text. What both have
    in common is found as by `diff`, so this works for broken code as well."""
    exported = [text.rstrip() for text in Path(file).read_text(encoding="utf-8", errors="replace").split("\n")]
    name = re.search(r"[^/\s]+\.ipynb", exported[0])
    workspace = next((up for up in Path(file).parents if (up / MARKER).is_file()), None)
    try:
        content = json.loads((workspace / NOTEBOOKS / name[0]).read_text(encoding="utf-8-sig"))
        rows = [(number, row, text.rstrip()) for number, cell in enumerate(content["cells"], 1)
                if cell["cell_type"] == "code" and (source := "".join(cell["source"])).lstrip().startswith("#|")
                for row, text in enumerate(source.split("\n"), 1)
                if not re.fullmatch(r"\s*### (BEGIN|END) SOLUTION\s*", text)]
        in_open_form = content.get("metadata", {}).get("tito", {}).get("depth") == "open"
    except (OSError, ValueError, KeyError, TypeError):
        return None
    common = difflib.SequenceMatcher(None, exported, [text for *_, text in rows], autojunk=False).get_matching_blocks()
    for start, other, size in common:
        if start < line <= start + size:
            number, row, _ = rows[other + line - 1 - start]
            grading = content["cells"][number - 1]["metadata"].get("nbgrader") or {}
            exercise = "" if in_open_form else grading.get("grade_id", "")
            text = f"notebook {name[0]}, cell {number}, line {row}" + (f" (exercise {exercise})" if exercise else "")
            return {"notebook": name[0], "cell": number, "line": row, "exercise": exercise, "text": text}
    return None
