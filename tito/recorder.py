"""A pytest plugin: one JSON line for each check that begins or ends, for `tito test` to tell the student about.

It runs in the process of the tests (`-p tito.recorder`), next to the student's code.
"""

import ast
import inspect
import json
import os
import re
import sys
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import FunctionType, MethodType, ModuleType

import pytest

from tito.overlay import EXPORTED, NOT_WRITTEN, cell_of

LONGEST = 300  # characters of a value
LEAST_SECONDS = 3  # for a check, once others did not end: a suite of endless loops comes to its end all the same
OPERATORS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "truediv", ast.Pow: "pow",
             ast.MatMult: "matmul"}  # what Python calls for them: __add__, __radd__, ...
encoded = json.JSONEncoder().encode  # tests may replace json.dumps for a while


class Recorder:
    def __init__(self, path, seconds=None):
        self.file = open(path, "a", encoding="utf-8")
        self.compared, self.seconds = None, seconds

    def write(self, **line):
        print(encoded(line), file=self.file, flush=True)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item):
        if self.seconds:
            item.add_marker(pytest.mark.timeout(self.seconds))
        return (yield)

    def pytest_runtest_logstart(self, nodeid):
        self.write(begins=nodeid)

    def pytest_assertrepr_compare(self, op, left, right):
        self.compared = op, short(left), short(right)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        if report.when == "call" or report.outcome != "passed":
            line = {"ends": item.nodeid, "outcome": report.outcome, "check": title(item), "seconds": call.duration}
            if report.failed:
                line |= failure(call.excinfo, item.path, self.compared)
                if line["error"] == "Failed" and line["message"].startswith("Timeout"):
                    line["message"] = f"stopped after {self.seconds:g} s: a loop that does not end?"
                    self.seconds = min(self.seconds, max(self.seconds / 3, LEAST_SECONDS))
            elif report.skipped and isinstance(report.longrepr, tuple):
                line["why"] = report.longrepr[2].removeprefix("Skipped: ")
            else:
                line["about"] = about(item)
            self.write(**line)
        self.compared = None
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector):
        report = yield
        if report.failed:
            found, raised = of_collection(str(report.longrepr)), report.call.excinfo.value
            if type(raised) is NotImplementedError and (stub := place_of(raised)):
                found |= {"message": str(raised), "place": stub[0]}  # a table of tests makes what is not written yet
            self.write(ends=report.nodeid, outcome="failed", check=f"{report.nodeid} can be imported", seconds=0,
                       collecting=True, **found)
        return report


def pytest_configure(config):
    if "TITO_RECORD" in os.environ:
        limited = config.pluginmanager.has_plugin("pytest_timeout")
        seconds = float(os.environ.get("TITO_SECONDS", 0)) if limited else None
        limit_memory(int(os.environ.get("TITO_BYTES", 0)))
        config.pluginmanager.register(Recorder(os.environ["TITO_RECORD"], seconds))


def limit_memory(size):
    "Let this process have `size` bytes of data, where the system knows such a limit; more is a MemoryError."
    with suppress(ImportError, OSError, ValueError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        if size and (most == resource.RLIM_INFINITY or size < most):
            resource.setrlimit(resource.RLIMIT_DATA, (size, most))


def title(item):
    "test_a_row_read_twice[3-int64] -> a row read twice [3-int64]"
    words = getattr(item, "originalname", item.name).removeprefix("test_").replace("_", " ")
    parameters = item.name[len(getattr(item, "originalname", "") or item.name):]
    return f"{words} {parameters}".strip()


def failure(raised, test_file, compared):
    "What failed, as a dict: error, message, got, expected, line of the test, place in the notebook."
    notes = getattr(raised.value, "__notes__", [])
    found = {"error": raised.type.__name__, "message": str(raised.value), "notes": notes}
    places = [entry for entry in raised.traceback if Path(entry.path) == Path(test_file)]
    if places:
        line = places[-1].lineno + 1
        found |= {"line": line, "source": statement(places[-1].path, line)}
        if tested := tested_in(places, Path(test_file).parent.name, half(str(raised.value))):
            found["tested"] = tested
    cause, hidden = raised.value.__cause__, raised.value.__context__
    place = place_of(raised.value) or cause and place_of(cause)
    if type(hidden) is NotImplementedError and str(hidden).startswith(NOT_WRITTEN) and (stub := place_of(hidden)):
        found |= {"error": "NotImplementedError", "message": str(hidden)}  # it came where the check waits for an error
        place = stub
    if place:
        found |= {"place": place[0], "written": place[1]}
    return found | got_and_expected(found, compared)


def place_of(error):
    "The last line of the student's that the error came through: (its cell, its text), or None."
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if type(error).__name__ == "GradientError" and Path(frame.filename).name == "gradcheck.py":
            continue  # it brings the news; the fault is in what it looked at
        cell = cell_at(frame.filename, frame.lineno)
        if cell:
            return cell, frame.line
    return None


@cache
def cell_at(file, line):
    "Where a line of an exported file comes from; None for any other file."
    return EXPORTED.parts[0] in Path(file).parts and cell_of(file, line) or None


# ---- what a test is about, where the error itself came through nothing of the student's


def half(message):
    "The method of an operation that a message is about: what is said of a gradient is said of `backward`."
    return "backward" if re.search(r"\b(backward|grad|gradients?)\b", message) else "forward"


def tested_in(entries, chapter, method):
    """Cells of the chapter's notebook that define what the failing statement of a test mentions, at most three.

    Where it mentions nothing, the statements above it are asked, the nearest first, and then the test's callers.
    """
    for entry in reversed(entries):
        names = dict(entry.frame.f_globals) | dict(entry.frame.f_locals)
        for things in mentioned_up_from(entry, names):
            places = [place for thing in things for place in cells_about(thing, f"{chapter}.ipynb", method)]
            places.sort(key=lambda place: place["file"] == "gradcheck.py")  # how it is checked, behind what is checked
            if places:
                first = {}
                for place in places:
                    first.setdefault(place["cell"], place)
                return list(first.values())[:3]
    return []


def about(item):
    "The exercises of the chapter, in order, that a test mentions in its text or gets as a parameter."
    function, notebook = getattr(item, "obj", None), f"{item.path.parent.name}.ipynb"
    names = getattr(function, "__globals__", {}) | getattr(getattr(item, "callspec", None), "params", {})
    nodes = [node for node in statements(item.path) if getattr(node, "name", None) == getattr(item, "originalname", "")]
    things = [thing for node in nodes for inner in ast.walk(node) for thing in meant_by(inner, names)]
    cells = {id(thing): cells_about(thing, notebook) for thing in things if thing is not None}
    found = {(cell["cell"], cell["exercise"]) for places in cells.values() for cell in places if cell["exercise"]}
    return [exercise for _, exercise in sorted(found)]


def mentioned_up_from(entry, names):
    "For each statement of the test, from the one that failed up to its head: the things that it mentions."
    if entry.frame.code.name == "<lambda>":
        yield behind(entry.frame.raw.f_code, names)
        return
    row = entry.lineno + 1
    functions = [node for node in statements(entry.path) if isinstance(node, ast.FunctionDef)]
    around = [node for node in functions if node.lineno <= row <= node.end_lineno]
    if around:
        inner = [node for node in ast.walk(around[-1]) if isinstance(node, ast.stmt) and not hasattr(node, "body")]
        for statement in sorted((node for node in inner if node.lineno <= row), key=lambda node: -node.lineno):
            yield [thing for node in ast.walk(statement) for thing in meant_by(node, names)]


@cache
def syntax_tree(path):
    return ast.parse(Path(path).read_text(encoding="utf-8"))


@cache
def statements(path):
    "All statements of a file."
    return [node for node in ast.walk(syntax_tree(path)) if isinstance(node, ast.stmt)]


@cache
def statement(path, row):
    "The text of the innermost statement of a file in that row; of one that holds others, the head."
    around = [node for node in statements(path) if node.lineno <= row <= node.end_lineno]
    if not around:
        return ""
    inner = max(around, key=lambda node: (node.lineno, node.col_offset))
    end = inner.body[0].lineno - 1 if getattr(inner, "body", []) else inner.end_lineno
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    return "\n".join(lines[inner.lineno - 1:max(end, inner.lineno)]).strip()


def behind(code, names):
    "What the body of a lambda mentions; what follows a module may be an attribute of it."
    known, things = dict(names), []
    for name in code.co_names:
        things.append(known.get(name))
        known |= vars(things[-1]) if isinstance(things[-1], ModuleType) else {}
    return things


def meant_by(node, names):
    "What a name, an attribute of one, or an operator, stands for in a test; behind a lambda, what it mentions."
    if isinstance(node, ast.BinOp | ast.Subscript):
        return [method_of(node, names)]
    if not isinstance(node, ast.Name | ast.Attribute):
        return []
    thing = value_of(node, names)
    if isinstance(thing, FunctionType) and thing.__name__ == "<lambda>":
        return behind(thing.__code__, thing.__globals__)
    return [thing]


def method_of(node, names):
    "The method that Python calls for `a - b` or `a[i]`, where `a` or `b` is a name or an attribute; or else None."
    if isinstance(node, ast.Subscript):
        return inspect.getattr_static(type(value_of(node.value, names)), "__getitem__", None)
    name = OPERATORS.get(type(node.op), "")
    own = inspect.getattr_static(type(value_of(node.left, names)), f"__{name}__", None)
    reflected = inspect.getattr_static(type(value_of(node.right, names)), f"__r{name}__", None)
    return own if isinstance(own, FunctionType) else reflected


def value_of(node, names):
    "The value of `a.b.c`, without running a property or anything else of the student's; None for unknown."
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if not isinstance(node, ast.Attribute) or (owner := value_of(node.value, names)) is None:
        return None
    if isinstance(owner, ModuleType):
        return vars(owner).get(node.attr)
    return inspect.getattr_static(owner, node.attr, None)


def cells_about(thing, notebook, method="forward", depth=3):
    "The cell that defines it; where that is no exercise, those of its bases, and what it calls, at most `depth` deep."
    place = cell_that_defines(thing, notebook, method)
    if place is None or place["exercise"] or not depth:
        return [place] if place else []
    owner = thing if isinstance(thing, FunctionType | type) else type(thing)
    methods = vars(owner).values() if isinstance(owner, type) else [owner]
    parts = owner.__mro__[1:] if isinstance(owner, type) else ()
    bases = {base: cell for base in parts if (cell := cell_that_defines(base, notebook, method)) and cell["exercise"]}
    if bases:
        own = [base for base in bases if method in vars(base)]  # what is said of a gradient is said of its `backward`
        calls = called_by([vars(base)[method] for base in own], notebook, method, depth)
        return [bases[base] for base in own or bases] + calls
    return called_by(methods, notebook, method, depth) or [place]


def called_by(methods, notebook, method, depth):
    "The exercises that functions call, over at most `depth` others."
    functions = [inspect.unwrap(one) for one in methods if isinstance(one, FunctionType)]
    called = [other for function in functions for other in behind(function.__code__, function.__globals__)]
    return [cell for other in called for cell in cells_about(other, notebook, method, depth - 1) if cell["exercise"]]


def cell_that_defines(thing, notebook, method):
    """The cell of `notebook` with the function or class that `thing` is, or is made from; None for anything else.

    The line is its first; of a class that has the `method`, the first of that.
    """
    if isinstance(thing, classmethod | staticmethod | MethodType):
        thing = thing.__func__
    thing = thing if isinstance(thing, FunctionType | type) else type(thing)
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    if file is None or EXPORTED.parts[0] not in Path(file).parts:
        return None
    nodes = [syntax_tree(file)]
    for name in thing.__qualname__.split("."):
        nodes = [node for node in nodes[-1].body if getattr(node, "name", None) == name]
        if not nodes:
            return None
    inside = [node for node in nodes[-1].body if getattr(node, "name", None) == method]
    place = cell_at(file, (inside or nodes)[-1].lineno)
    return place and place["notebook"] == notebook and place | {"file": Path(file).name} or None


def got_and_expected(found, compared):
    "From the error, as far as it says so."
    text = found["message"]
    if arrays := re.search(r"ACTUAL: ?(.*?)\n ?DESIRED: ?(.*)", text, re.DOTALL):
        differ = re.search(r"Mismatched elements: .*|.*shapes .* mismatch.*", text)
        return {"got": short_text(arrays[1]), "expected": short_text(arrays[2]), "message": differ[0] if differ else ""}
    if found["error"] == "Failed" and (missing := re.search(r"DID NOT RAISE (?:any of )?(.*)", text)):
        return {"got": "no error", "expected": re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", missing[1]), "message": ""}
    if found["error"] == "AssertionError":
        said = "" if text.startswith("assert ") else text.split("\nassert ")[0]
        if compared and compared[0] in ("==", "is", "<", "<=", ">", ">=", "in", "!="):
            sign = {"==": "", "is": ""}.get(compared[0], compared[0] + " ")
            return {"got": compared[1], "expected": sign + compared[2], "message": said}
        call = r"(?:where|and) +(?:False|np\.False_) = (?:<function )?(?:\w+\.)*(?:allclose|isclose|array_equal)\b(.*)"
        if close := re.search(call, text, re.DOTALL):
            return two_arguments(close[1]) | {"message": said}
        return {"message": said or short_text(text)}
    return {}


def two_arguments(text):
    "` at 0x7f>(array([0., 2.]), 0)` -> got and expected, as far as pytest has printed them."
    text = re.sub(r"^ at 0x\w+>", "", text)
    depth, commas, end = 0, [], len(text)
    for place, character in enumerate(text):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 1:
            commas.append(place)
        if depth == 0:
            end = place
            break
    if not commas:
        return {"got": short_text(text[1:end]), "expected": "the two to be equal"}
    second = commas[1] if len(commas) > 1 else end
    return {"got": short_text(text[1:commas[0]]), "expected": short_text(text[commas[0] + 1:second])}


def of_collection(text):
    "The last error of a file of tests that could not be imported."
    lines = [line[4:] for line in text.split("\n") if line.startswith("E   ")] or text.strip().split("\n")[-1:]
    first = next((row for row, line in enumerate(lines) if re.match(r"\w*(Error|Exception|Interrupt)\b", line)), 0)
    name, _, message = lines[first].partition(": ")
    return {"error": name.strip(), "message": message.strip(), "notes": lines[:first] + lines[first + 1:]}


def short(value):
    try:
        return short_text(repr(value))
    except Exception as error:
        return f"a {type(value).__name__} whose repr fails ({error})"


def short_text(text):
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
