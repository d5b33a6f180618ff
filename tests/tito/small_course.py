"""A course of two small chapters, for tests of `tito` that need no real one."""
import json

from typer.testing import CliRunner


def markdown(id, source):
    return {"cell_type": "markdown", "id": id, "metadata": {}, "source": source}


def code(id, source, outputs=(), **nbgrader):
    cell = {"cell_type": "code", "id": id, "metadata": {}, "source": source.splitlines(keepends=True),
            "execution_count": 3 if outputs else None, "outputs": list(outputs)}
    if nbgrader:
        cell["metadata"]["nbgrader"] = {"schema_version": 3, "task": False, **nbgrader}
    return cell


def exercise(id, name, source):
    return code(id, source, grade=False, locked=False, solution=True, grade_id=name)


def check(id, name, source):
    return code(id, source, [{"output_type": "stream", "name": "stdout", "text": ["4\n"]}],
                grade=True, locked=True, points=1, solution=False, grade_id=name)


HINTS = """**Hints**

<details>
<summary>Hint 1</summary>

How often do you see $x$?

</details>

<details>
<summary>Hint 2</summary>

Add it to itself.

</details>
"""

DOUBLE = [
    markdown("title", "# 01 Double\n\nAn *accent*: é."),
    code("default", "#| default_exp double"),
    code("head", '#| export\n"""Doubling."""'),
    markdown("say", "**Exercise.** Return twice `x`."),
    markdown("hints", HINTS),
    exercise("twice", "twice", '''\
#| export
def twice(x):
    "2 x"
    ### BEGIN SOLUTION
    return x + x
    ### END SOLUTION

def four_times(x):
    return twice(twice(x))
'''),
    check("check-twice", "check-twice", '''\
print(twice(2))
assert twice(2) == 4
### BEGIN HIDDEN TESTS
assert twice(-3) == -6
### END HIDDEN TESTS
'''),
]

PAIR = [
    code("default", "#| default_exp pair"),
    code("head", '#| export\n"""Pairs."""\nfrom tinytorch.double import twice'),
    exercise("swap", "swap", '''\
#| export
def swap(pair):
    ### BEGIN SOLUTION
    left, right = pair
    return right, left
    ### END SOLUTION
'''),
    code("second", '#| export third\n"""Three of a kind."""\ndef triple(x): return [x, x, x]'),
    check("check-swap", "check-swap", "assert swap((1, 2)) == (2, 1)"),
]

TEST_DOUBLE = '''\
import pytest


@pytest.mark.parametrize("x", [0, 2, -3])
def test_twice_is_the_sum_with_itself(x):
    from tinytorch.double import twice
    assert twice(x) == x + x


def test_four_times():
    from tinytorch.double import four_times
    assert four_times(2) == 8
'''

TEST_PAIR = '''\
def test_swap():
    from tinytorch.pair import swap
    assert swap((1, 2)) == (2, 1)


def test_triple():
    from tinytorch.third import triple
    assert triple(0) == [0, 0, 0]
'''

MILESTONE = '''\
"""1900, doubling: learn to count.

More about it.
"""
import json
import sys
from pathlib import Path

from tinytorch.double import twice

NEEDS = ("01",)


def main():
    folder = Path("runs", "doubling-001")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "status.json").write_text(json.dumps({"best": {"metric": "sum", "value": twice(21), "step": 1}}))
    if "--sample" in sys.argv:
        return 0
    right = twice(21) == 42 and "--fail" not in sys.argv
    results = {"criteria": [{"name": "sums right", "got": float(right), "passed": right, "percent": True},
                            {"name": "sum", "got": float(twice(21)), "passed": right}],
               "part": "--quick" if "--quick" in sys.argv else "",
               "broken": "sum" if "--broken" in sys.argv else None}
    (folder / "results.json").write_text(json.dumps(results))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
'''


def write_course(folder):
    "The folder with modules/, tests/ and milestones/."
    notebooks = {"01_double": DOUBLE, "02_pair": PAIR}
    for name, cells in notebooks.items():
        content = {"cells": cells, "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}
        write(folder / "modules" / f"{name}.ipynb", json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    write(folder / "tests" / "conftest.py", "import tinytorch\n")
    write(folder / "tests" / "01_double" / "test_double.py", TEST_DOUBLE)
    write(folder / "tests" / "02_pair" / "test_pair.py", TEST_PAIR)
    write(folder / "milestones" / "01_1900" / "doubling.py", MILESTONE)
    return folder


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def solve(notebook, exercise, body):
    "Put `body`, lines at the indentation of the stub, into an exercise of a student's notebook."
    content = json.loads(notebook.read_text(encoding="utf-8"))
    stub = f'    raise NotImplementedError("exercise {exercise} is still open: replace this line")\n'
    for cell in content["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == exercise:
            source = "".join(cell["source"])
            assert stub in source + "\n"
            cell["source"] = (source + "\n").replace(stub, body).rstrip("\n")
    notebook.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


class Tito:
    "Says `tito` in a workspace."

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, *arguments, status=0):
        "What it printed; it must end with this status."
        from tito.commands import app

        result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
        assert status in (None, result.exit_code), f"status {result.exit_code}:\n{result.output}"
        return result.output

    def notebook(self, name="01_double"):
        return self.folder / "modules" / f"{name}.ipynb"

    def exported(self, path="double.py"):
        return self.folder / "exported" / "tinytorch" / path

    def solve(self, name="01_double", exercise="twice", body="    return x + x\n"):
        solve(self.notebook(name), exercise, body)

    def files(self):
        "Every file of the workspace with its bytes."
        return {path.relative_to(self.folder).as_posix(): path.read_bytes()
                for path in self.folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
