"""Lines of code of the package, chapter by chapter."""

import ast
import io
import tokenize
from pathlib import Path

from tito.build import package_files
from tito.export import PACKAGE, Module
from tito.project import TitoError

_not_code = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
}  # fmt: skip
_documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def code_lines(source: str) -> int:
    """Lines that hold code: blank lines, comments and docstrings do not count. Raises SyntaxError."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    rows = {row for t in tokens if t.type not in _not_code for row in range(t.start[0], t.end[0] + 1)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, _documented) and ast.get_docstring(node, clean=False) is not None:
            rows -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(rows)


def report(root: Path, modules: dict[str, Module]) -> str:
    """The table that `tito build` prints. Raises TitoError for a hand-written file that is not Python."""
    chapters = [(module.notebook.stem, path, code_lines(module.text)) for path, module in modules.items()]
    by_hand = [("by hand", path, _count(root, path)) for path in package_files(root) if path not in modules]
    rows, last = [], None
    for chapter, path, count in chapters + by_hand:
        rows.append(f"{chapter if chapter != last else '':20} {path:28} {count:6,}")
        last = chapter
    generated, hand = (sum(count for *_, count in part) for part in (chapters, by_hand))
    rows.append(f"{'total':20} {f'chapters {generated:,}, by hand {hand:,}':28} {generated + hand:6,}")
    return "\n".join(rows)


def _count(root: Path, path: str) -> int:
    try:
        return code_lines((root / PACKAGE / path).read_text(encoding="utf-8"))
    except (SyntaxError, tokenize.TokenError, UnicodeDecodeError) as error:
        raise TitoError(f"{PACKAGE}/{path}: not Python: {error}") from error
