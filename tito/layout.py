"""The look of a generated file: docstring first, then PEP 8's blank lines between the cells."""

import ast

DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def module_source(header: str, cells: list[str]) -> str:
    """Source of a module with these cells. Raises SyntaxError."""
    body = "\n\n".join(cells)
    tree = ast.parse(body)
    first = tree.body[:1] if ast.get_docstring(tree, clean=False) is not None else []
    futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    lines = body.split("\n")
    lifted = {row for node in first + futures for row in _rows(node)}
    rest = "\n".join(line for row, line in enumerate(lines) if row not in lifted)
    docstring = ["\n".join(lines[row] for row in _rows(node)) for node in first]
    imports = ["\n".join(lines[row] for node in futures for row in _rows(node))]
    text = spaced("\n\n".join(docstring + imports + [rest]))
    return f"{header}\n{text}" if docstring else f"{header}\n\n{text}"


def spaced(source: str) -> str:
    """`source` with two blank lines around top-level definitions, one between other paragraphs.

    Definitions of one or two lines, written one below the other, stay together, as PEP 8 allows for related ones.
    """
    text, previous_defines = "", None
    for lines, defines in _paragraphs(source):
        if previous_defines is not None:
            text += "\n\n" if defines or previous_defines else "\n"
        text += "".join(line.rstrip() + "\n" for line in lines)
        previous_defines = defines
    return text


def _rows(node: ast.stmt) -> range:
    """Indices of the lines of a statement, its decorators included."""
    first = min([node.lineno] + [decorator.lineno for decorator in getattr(node, "decorator_list", [])])
    return range(first - 1, node.end_lineno)


def _is_short(node: ast.stmt) -> bool:
    return isinstance(node, DEFINITIONS) and len(_rows(node)) <= 2


def _paragraphs(source: str) -> list[tuple[list[str], bool]]:
    """Top-level runs of lines without a blank line, each with "is it a definition?"."""
    lines, statements = source.split("\n"), ast.parse(source).body
    inside = {row for node in statements for row in _rows(node)}
    defining, breaks = set(), set()
    for previous, node in zip([None, *statements], statements):
        if isinstance(node, DEFINITIONS):
            first, end = _rows(node).start, node.end_lineno
            while first > 0 and first - 1 not in inside and lines[first - 1].startswith("#"):
                first -= 1  # the comment on top belongs to the definition
            defining.update(range(first, end))
            breaks.update((first, end))
            if previous and _is_short(previous) and _is_short(node) and previous.end_lineno == first:
                breaks.discard(first)
    paragraphs, after_blank = [], True
    for row, line in enumerate(lines):
        if row not in inside and not line.strip():
            after_blank = True
            continue
        if after_blank or row in breaks:
            paragraphs.append(([], row in defining))
        paragraphs[-1][0].append(line)
        after_blank = False
    return paragraphs


def names_defined(node: ast.stmt) -> set[str]:
    """By a definition or an assignment; what is imported or stands in a block is not counted."""
    if isinstance(node, DEFINITIONS):
        return {node.name}
    targets = getattr(node, "targets", [node.target] if isinstance(node, ast.AnnAssign) else [])
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def all_names(tree: ast.Module) -> set[str]:
    """The public names that a module defines: those that do not start with `_`."""
    return {name for node in tree.body for name in names_defined(node) if not name.startswith("_")}
