"""The open form of a chapter: every function and class that it exports, reduced to signature and docstring.

What runs while a module is imported must work although nothing is written yet. So what statements, decorators,
defaults and class bodies *call* stays as given, with all that it uses, and private names stay where something asks for
them then.
"""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

from tito.layout import names_defined
from tito.overlay import is_stub
from tito.strip import exporting, read_notebook, source_of, stripped, without_markers

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
AT_IMPORT = {"__init_subclass__", "__set_name__"}  # methods that a class statement calls
NOT_YET = 'raise NotImplementedError("{} is not written yet: replace this line")'
DEPTH = {"depth": "open"}  # in the metadata of a notebook, under "tito"
NOTE = """\
**Open form.** Of every function and class that this chapter exports you see the signature and what it promises. Write
them in your own way, with whatever helpers you like; the checks below and the chapter's suite judge what they do. An
error says what it got (shapes, dtypes, names, values), and what it expected, in your words.
`tito start NN --guided` brings the chapter in small exercises with hints."""


def opened(notebook: Path, given: dict[str, set[str]]) -> dict:
    """The notebook at `notebook` in open form. `given`: by path in the package, the names that stay (`given_names`)."""
    content = stripped(notebook)
    whole = read_notebook(notebook)["cells"]
    paths = {id(cell): path for cell, path in exporting({"cells": whole})}
    cells = []
    for cell, reference, after in zip(content["cells"], whole, [*whole[1:], {}]):
        path = paths.get(id(reference))
        if path:
            source = open_source(without_markers(source_of(reference)), given.get(path, set())).text
            if not source:
                continue
            cell["source"] = source.splitlines(keepends=True)
        if id(after) not in paths or not source_of(cell).startswith("**Hints**"):
            cells.append(cell)  # hints for an exercise that is exported would tell how the reference does it
    place = 1 + next((i for i, cell in enumerate(cells) if cell["cell_type"] == "markdown"), -1)
    note = NOTE.replace("NN", notebook.stem.split("_")[0])
    cells.insert(place, {"cell_type": "markdown", "id": "open-form", "metadata": {},
                         "source": note.splitlines(keepends=True)})  # fmt: skip
    return content | {"cells": cells, "metadata": content["metadata"] | {"tito": DEPTH}}


# ---- one cell


@dataclass(frozen=True)
class OpenSource:
    """A cell in open form ("" where nothing is left of it), and how many of its lines went."""

    text: str
    removed: int


def open_source(source: str, given: set[str]) -> OpenSource:
    """A cell without solution markers in open form. `given`: the names that stay as they are."""
    lines = source.split("\n")
    edits = [edit for node in ast.parse(source).body for edit in edits_of(node, lines, given)]
    for first, end, instead in reversed(edits):
        lines[first:end] = instead
    text = re.sub(r"\n{4,}", "\n\n\n", "\n".join(lines)).rstrip()
    empty = all(not line.strip() or line.startswith("#") for line in text.split("\n"))
    return OpenSource("" if edits and empty else text, sum(end - first for first, end, _ in edits))


def edits_of(node: ast.stmt, lines: list[str], given: set[str], within: str = "") -> list[tuple[int, int, list[str]]]:
    """(first row, row behind the last, the lines that come instead), rows from 0, in their order."""
    names = names_defined(node)
    if names & given:
        return []
    if names and all(map(is_private, names)):
        return [(first_row(node, lines), last_row(node, lines), [])]
    if isinstance(node, FUNCTIONS):
        return [edit_of_body(node, lines, within + node.name)] if something_to_write(node) else []
    if not isinstance(node, ast.ClassDef):
        return []
    kept = {name for part in node.body for name in mentioned_at_import(part) if is_private(name)} | AT_IMPORT
    methods = [part for part in node.body if isinstance(part, FUNCTIONS)]
    edits = [edit for method in methods for edit in edits_of(method, lines, kept, f"{node.name}.")]
    if len(edits) == len(node.body) and not any(instead for *_, instead in edits):
        edits[-1] = (*edits[-1][:2], [" " * node.body[0].col_offset + "pass"])
    return edits


def edit_of_body(node: ast.FunctionDef, lines: list[str], name: str) -> tuple[int, int, list[str]]:
    """Puts the stub in the place of all that follows signature and docstring; `name` is what it says."""
    first, end = node.body[0], last_row(node, lines)
    documented, stub = ast.get_docstring(node) is not None, NOT_YET.format(name)
    row = first_row(first, [])
    head = lines[row].encode()[: first.col_offset].decode()
    if head.strip():  # def f(x): return x
        indent = " " * (node.col_offset + 4)
        return row, end, [head.rstrip(), *([indent + ast.unparse(first)] if documented else []), indent + stub]
    if documented:
        row = first.end_lineno
    while not documented and (not lines[row - 1].strip() or lines[row - 1].lstrip().startswith("#")):
        row -= 1
    return row, end, [" " * first.col_offset + stub]


def first_row(node: ast.stmt, lines: list[str]) -> int:
    """Of a statement, with its decorators and the comment right above it."""
    row = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))]) - 1
    while lines and row > 0 and lines[row - 1].lstrip().startswith("#") and not lines[row - 1].startswith("#|"):
        row -= 1
    return row


def last_row(node: ast.stmt, lines: list[str]) -> int:
    """The row behind a statement, and behind the comments after it that are indented more."""
    end = row = node.end_lineno
    while row < len(lines) and (not lines[row].strip() or lines[row].lstrip().startswith("#")):
        row += 1
        if lines[row - 1].strip() and len(lines[row - 1]) - len(lines[row - 1].lstrip()) > node.col_offset:
            end = row
    return end


def something_to_write(node: ast.FunctionDef) -> bool:
    """Return whether its body has more than a docstring, or an error that says what subclasses do."""
    return not all(
        isinstance(part, ast.Pass)
        or isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
        or isinstance(part, ast.Raise) and not is_stub(part) and "NotImplementedError" in ast.unparse(part)
        for part in node.body
    )


# ---- what is written, function by function


def functions(source: str) -> dict[str, str]:
    """{name, or Class.name: source} of the functions and methods in the text of a module or cell."""
    lines, found = source.split("\n"), {}

    def visit(body, owner):
        for node in body:
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{owner}{node.name}.")
            elif isinstance(node, FUNCTIONS):
                text = "\n".join(lines[first_row(node, []) : node.end_lineno])
                name = f"{owner}{node.name}"  # a property and its setter are one
                found[name] = f"{found[name]}\n\n{text}" if name in found else text

    visit(ast.parse(source).body, "")
    return found


# ---- what must stay


@dataclass
class Source:
    """A file: its top-level statements by the names that they define, and where imported names come from."""

    body: list[ast.stmt]
    defined: dict[str, ast.stmt] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> "Source":
        made = cls(ast.parse(text).body)
        for node in made.body:
            made.defined |= dict.fromkeys(names_defined(node), node)
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tinytorch":
                path = "/".join(node.module.split(".")[1:]) + ".py"
                made.imports |= {alias.asname or alias.name: (path, alias.name) for alias in node.names}
        return made


def given_names(texts: dict[str, str]) -> dict[str, set[str]]:
    """By path: the top-level names that stay as they are, for all files {path: source} of a package together."""
    sources = {path: Source.of(text) for path, text in texts.items()}
    given = {path: set() for path in sources}
    waiting = []  # (path, name, is it run while something is imported?)
    for path, source in sources.items():
        public = [node for node in source.body if not all(map(is_private, names_defined(node) or [""]))]
        waiting += [(path, name, True) for node in public for name in called_at_import(node)]
        waiting += [(path, name, False) for node in public for name in mentioned_at_import(node)]
        waiting += [(*where, False) for where in source.imports.values()]
    seen = set()
    while waiting:
        path, name, runs = one = waiting.pop()
        source = sources.get(path)
        if one in seen or source is None or not (runs or is_private(name)):
            continue
        seen.add(one)
        if name in source.imports:
            waiting.append((*source.imports[name], runs))
        elif name in source.defined:
            given[path].add(name)
            waiting += [(path, other, runs) for other in used_by(source.defined[name])]
    return given


def package_texts(notebooks: list[Path], package: Path) -> dict[str, str]:
    """{path: source} of what notebooks export, and of the other files in the folder of the package."""
    texts = {path.relative_to(package).as_posix(): path.read_text(encoding="utf-8") for path in package.rglob("*.py")
             if path.name != "__main__.py"}  # which runs, and is not imported
    exported = {}
    for notebook in notebooks:
        for cell, path in exporting(read_notebook(notebook)):
            exported.setdefault(path, []).append(without_markers(source_of(cell)))
    return texts | {path: "\n\n".join(cells) for path, cells in exported.items()}


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def at_import(node: ast.stmt) -> list[ast.AST]:
    """The parts of a statement that run when its module is imported."""
    if isinstance(node, FUNCTIONS):
        if node.name in AT_IMPORT:
            return node.body
        arguments = [argument for argument in ast.walk(node.args) if isinstance(argument, ast.arg)]
        annotations = [node.returns, *(argument.annotation for argument in arguments)]
        parts = [*node.decorator_list, *node.args.defaults, *node.args.kw_defaults, *annotations]
        return [part for part in parts if part is not None]
    if isinstance(node, ast.ClassDef):
        inside = [part for statement in node.body for part in at_import(statement)]
        return [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords), *inside]
    return [] if isinstance(node, ast.Import | ast.ImportFrom) else [node]


def mentioned_at_import(node: ast.stmt) -> set[str]:
    return {name for part in at_import(node) for name in names_in(part)}


def called_at_import(node: ast.stmt) -> set[str]:
    """The names that are called, or whose attributes are, outside of lambdas."""
    found, parts = set(), at_import(node)
    waiting = [*parts, *(ast.Call(decorator, [], []) for decorator in getattr(node, "decorator_list", []))]
    for method in node.body if isinstance(node, ast.ClassDef) else []:
        waiting += [ast.Call(decorator, [], []) for decorator in getattr(method, "decorator_list", [])]
        if getattr(method, "name", "") in AT_IMPORT:
            found |= used_by(method)
    while waiting:
        part = waiting.pop()
        if isinstance(part, ast.Lambda):
            continue
        if isinstance(part, ast.Call):
            owner = part.func
            while isinstance(owner, ast.Attribute | ast.Call):
                owner = owner.value if isinstance(owner, ast.Attribute) else owner.func
            found |= names_in(owner)
        waiting += ast.iter_child_nodes(part)
    return found


def used_by(node: ast.stmt) -> set[str]:
    """Return what a definition mentions, without its own parameters and variables."""
    parts = list(ast.walk(node))
    own = {part.arg for part in parts if isinstance(part, ast.arg)}
    own |= {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
    return names_in(node) - own


def names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
