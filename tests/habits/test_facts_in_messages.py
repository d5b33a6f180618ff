"""The suites ask of an error for its kind and for facts, never for the reference's sentences.

A word in a `match=` stands in what the student is given of the chapters so far in open form (statements, signatures,
docstrings), or in the test itself, that hands in the name or value, or in what is no student's to write. Three words
in a row are a sentence: they stand there as they are.
"""
import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tito.open_form import given_names, opened, package_texts
from tito.project import notebooks
from tito.strip import exported_files, read_notebook, source_of

ROOT = Path(__file__).resolve().parents[2]
PACKAGE, NOTEBOOKS = ROOT / "tinytorch", notebooks(ROOT)
WORD, SENTENCE = re.compile(r"[A-Za-z_]{3,}"), re.compile(r"[A-Za-z_]+(?: [A-Za-z_]+){2,}")


@cache
def written_by_nobody_who_learns():
    "The text of the package's files that no notebook exports."
    exported = {path for notebook in NOTEBOOKS for path in exported_files(read_notebook(notebook))}
    files = [file for file in PACKAGE.rglob("*.py") if file.relative_to(PACKAGE).as_posix() not in exported]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@cache
def given():
    return given_names(package_texts(NOTEBOOKS, PACKAGE))


@cache
def promised(notebook):
    "What stands in a chapter and in those before it."
    before = NOTEBOOKS[:NOTEBOOKS.index(notebook)]
    so_far = promised(before[-1]) if before else written_by_nobody_who_learns()
    return so_far + "\n".join(source_of(cell) for cell in opened(notebook, given())["cells"])


def hidden_words(text, promised):
    "[(line, words)] of the patterns in the test file `text` that ask for more than is promised, or handed in."
    lines, patterns = text.split("\n"), []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            patterns += [keyword.value for keyword in node.keywords if keyword.arg == "match"]
    for pattern in patterns:
        for number in range(pattern.lineno - 1, pattern.end_lineno):
            lines[number] = re.sub(r"match=.*", "", lines[number]) if "match=" in lines[number] else ""
    known = promised + "\n".join(lines)
    words, found = {word.lower() for word in WORD.findall(known)}, []
    for pattern in patterns:
        texts = [node.value for node in ast.walk(pattern) if isinstance(node, ast.Constant) and type(node.value) is str]
        plain = [re.sub(r"\\.|\(\?\w+\)", "", one) for one in texts]
        hidden = [word for one in plain for word in WORD.findall(one) if word.lower() not in words]
        hidden += [some for one in plain for some in SENTENCE.findall(one) if some not in known]
        found += [(pattern.lineno, hidden)] if hidden else []
    return found


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_suite_asks_for_our_wording(notebook):
    for file in sorted((ROOT / "tests" / notebook.stem).glob("test_*.py")):
        assert hidden_words(file.read_text(encoding="utf-8"), promised(notebook)) == [], file.name


@pytest.mark.parametrize("pattern, hidden", [
    ('match="float32"', []), (r'match=r"(?i)weight.*\(2,\)"', []), ('match=f"at {place}, one"', []),
    ('match="is missing"', ["missing"]), ('match="the weight of float32"', ["the weight of float"]),
    ('match="other"', []),
])
def test_what_is_hidden(pattern, hidden):
    test = f"other = 1\nwith pytest.raises(ValueError, {pattern}):\n    f()\n"
    found = hidden_words(test, '"Raises: ValueError for float32, of the weight, with one place"')
    assert found == ([(2, hidden)] if hidden else [])
