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
from tito.strip import exported_files, grading, read_notebook, source_of

ROOT = Path(__file__).resolve().parents[2]
PACKAGE, NOTEBOOKS = ROOT / "tinytorch", notebooks(ROOT)
NUMBER = re.compile(r"\{\w+\}|\d+")  # where a docstring says {i}, a message has a number
WORD, SENTENCE = re.compile(r"[A-Za-z_]{3,}"), re.compile(r"[A-Za-z_]+(?: [A-Za-z_0-9]+){2,}")


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


@cache
def words_of(text):
    return {word.lower() for word in WORD.findall(text)}


@cache
def with_one_number(text):
    return NUMBER.sub("0", text)


def hidden_words(text, promised, asked):
    """[(line, words)] of what the test file or cell `text` asks for beyond what is promised, or handed in.

    asked(tree): (line, the constants of a pattern) in turn.
    """
    patterns = [(line, parts) for line, parts in asked(ast.parse(text))]
    known, found = [promised, blanked(text, [part for _, parts in patterns for part in parts])], []
    words, counted = set.union(*map(words_of, known)), list(map(with_one_number, known))
    for line, parts in patterns:
        plain = [re.sub(r"\\.|\(\?\w+\)", "", part.value) for part in parts]
        hidden = [word for one in plain for word in WORD.findall(one) if word.lower() not in words]
        sentences = [some for one in plain for some in SENTENCE.findall(one) if len(re.findall("[A-Za-z_]+", some)) > 2]
        hidden += [some for some in sentences if not any(NUMBER.sub("0", some) in one for one in counted)]
        found += [(line, hidden)] if hidden else []
    return found


def blanked(text, parts):
    "A Python text without the constants `parts`."
    lines = [line.encode() for line in text.split("\n")]
    for part in parts:
        for number in range(part.lineno - 1, part.end_lineno):
            begin = part.col_offset if number == part.lineno - 1 else 0
            end = part.end_col_offset if number == part.end_lineno - 1 else len(lines[number])
            lines[number] = lines[number][:begin] + b" " * (end - begin) + lines[number][end:]
    return b"\n".join(lines).decode()


def constants(node):
    return [part for part in ast.walk(node) if isinstance(part, ast.Constant) and type(part.value) is str]


def patterns(tree):
    "What `match=` asks for: literally, or by a name of the module, of a table of parametrize, or of a loop over one."
    tables = {target.id: node.value for node in tree.body if isinstance(node, ast.Assign)
              for target in node.targets if isinstance(target, ast.Name)}
    for scope in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]:
        columns = [column for decorator in getattr(scope, "decorator_list", []) for column in parametrized(decorator)]
        columns += [column for node in ast.walk(scope) if isinstance(node, ast.For)
                    for column in zip(names_of(node.target), [node.iter] * 9, range(9))]
        for node in own_calls(scope):
            for keyword in node.keywords:
                if keyword.arg == "match":
                    parts = constants(keyword.value)
                    names = {part.id for part in ast.walk(keyword.value) if isinstance(part, ast.Name)}
                    for name, table, place in columns:
                        parts += column_of(tables.get(getattr(table, "id", ""), table), place) if name in names else []
                    parts += [part for name in names & tables.keys() for part in constants(tables[name])]
                    yield node.lineno, parts


def own_calls(scope):
    "Calls in a function, or in the module outside of all functions."
    waiting = list(ast.iter_child_nodes(scope))
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            yield node
        if not isinstance(node, ast.FunctionDef):
            waiting += ast.iter_child_nodes(node)


def names_of(target):
    return [getattr(one, "id", "") for one in getattr(target, "elts", [target])]


def parametrized(decorator):
    "(name, table, place of the name in a row of it, None where a row is one value) of a decorator."
    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).endswith("mark.parametrize"):
        names = [name.strip() for name in ast.literal_eval(decorator.args[0]).split(",")]
        for place, name in enumerate(names):
            yield name, decorator.args[1], place if len(names) > 1 else None


def column_of(table, place):
    "The texts at a place of the rows of a literal list, dictionary or tuple."
    if isinstance(table, ast.Dict):
        return [part for node in (table.keys if place == 0 else table.values) for part in constants(node)]
    found = []
    for row in getattr(table, "elts", []):
        row = row.args if isinstance(row, ast.Call) else getattr(row, "elts", None)  # pytest.param
        if place is not None and row and place < len(row):
            found += constants(row[place])
    return found if place is not None else constants(table)


def sayings(tree):
    "What a graded cell asserts of a text: `\"...\" in message`, `message.startswith(\"...\")`."
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            for part in ast.walk(node.test):
                match part:
                    case ast.Compare(left=ast.Constant(value=str()) as said, ops=[ast.In()]):
                        yield node.lineno, [said]
                    case ast.Call(func=ast.Attribute(attr="startswith" | "endswith"), args=[said]):
                        yield node.lineno, constants(said)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_suite_asks_for_our_wording(notebook):
    for file in sorted((ROOT / "tests" / notebook.stem).glob("test_*.py")):
        assert hidden_words(file.read_text(encoding="utf-8"), promised(notebook), patterns) == [], file.name


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_graded_cell_asks_for_our_wording(notebook):
    before = NOTEBOOKS[:NOTEBOOKS.index(notebook)]
    so_far = promised(before[-1]) if before else written_by_nobody_who_learns()
    for cell in opened(notebook, given())["cells"]:
        source = source_of(cell)
        if is_check(cell):
            source = blanked(source, [part for _, parts in sayings(ast.parse(source)) for part in parts])
        so_far += source
    for cell in filter(is_check, read_notebook(notebook)["cells"]):
        assert hidden_words(source_of(cell), so_far, sayings) == [], grading(cell)["grade_id"]


def is_check(cell):
    return cell["cell_type"] == "code" and bool(grading(cell).get("grade")) and not grading(cell).get("solution")


@pytest.mark.parametrize("pattern, hidden", [
    ('match="float32"', []), (r'match=r"(?i)weight.*\(2,\)"', []), ('match=f"at {place}, one"', []),
    ('match="is missing"', ["missing"]), ('match="the weight of float32"', ["the weight of float32"]),
    ('match="other"', []),
])
def test_what_is_hidden(pattern, hidden):
    test = f"other = 1\nwith pytest.raises(ValueError, {pattern}):\n    f()\n"
    found = hidden_words(test, '"Raises: ValueError for float32, of the weight, with one place"', patterns)
    assert found == ([(2, hidden)] if hidden else [])
