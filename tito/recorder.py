"""A pytest plugin: one JSON line for each check that begins or ends, for `tito test` to tell the student about.

It runs in the process of the tests (`-p tito.recorder`), next to the student's code.
"""

import json
import os
import re
import traceback
from pathlib import Path

import pytest

LONGEST = 300  # characters of a value
encoded = json.JSONEncoder().encode  # tests may replace json.dumps for a while


class Recorder:
    def __init__(self, path):
        self.file = open(path, "a", encoding="utf-8")
        self.compared = None

    def write(self, **line):
        print(encoded(line), file=self.file, flush=True)

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
            elif report.skipped and isinstance(report.longrepr, tuple):
                line["why"] = report.longrepr[2].removeprefix("Skipped: ")
            self.write(**line)
        self.compared = None
        return report

    def pytest_collectreport(self, report):
        if report.failed:
            self.write(ends=report.nodeid, outcome="failed", check=f"{report.nodeid} can be imported", seconds=0,
                       **of_collection(str(report.longrepr)))


def pytest_configure(config):
    if "TITO_RECORD" in os.environ:
        config.pluginmanager.register(Recorder(os.environ["TITO_RECORD"]))


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
        found |= {"line": places[-1].lineno + 1, "source": str(places[-1].statement).strip()}
    place, hidden = place_of(raised.value), raised.value.__context__
    if hidden is not None and (stub := place_of(hidden)) and type(hidden) is NotImplementedError and not str(hidden):
        found |= {"error": "NotImplementedError", "message": ""}  # a check that waits for an error was given this one
        place = stub
    if place:
        found |= {"place": place[0], "written": place[1]}
    return found | got_and_expected(found, compared)


def place_of(error):
    "The last line of the student's that the error came through: (its cell, its text), or None."
    from tinytorch.workspace import cell_of

    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        cell = "exported" in Path(frame.filename).parts and cell_of(frame.filename, frame.lineno)
        if cell:
            return cell, frame.line
    return None


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
        call = r"where (?:False|np\.False_) = .*?(?:allclose|array_equal)\((.*)\)\n"
        if close := re.search(call, text + "\n", re.DOTALL):
            return {"got": short_text(close[1]), "expected": "the two to be equal", "message": said}
        return {"message": said or short_text(text)}
    return {}


def of_collection(text):
    "The last error of a file of tests that could not be imported."
    lines = [line[4:] for line in text.split("\n") if line.startswith("E   ")] or text.strip().split("\n")[-1:]
    name, _, message = lines[0].partition(": ")
    return {"error": name.strip(), "message": message.strip(), "notes": lines[1:]}


def short(value):
    try:
        return short_text(repr(value))
    except Exception as error:
        return f"a {type(value).__name__} whose repr fails ({error})"


def short_text(text):
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
