"""A workspace that another version of tinytorch made: what of it fits this one, what is set aside, and what changed.

Notebooks stay as they are. A file that was exported is set aside (kept in a backup; the reference stands in) where it
could not be imported any more, or where the rest of the package would not take from it what it defines.
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from functools import cache

from tito import __version__
from tito.course import chapters
from tito.files import digest_of, read_file, write_whole
from tito.layout import all_names
from tito.open_form import is_private
from tito.overlay import EXPORTED, MARKER, PACKAGE_FOLDER
from tito.project import TitoError
from tito.strip import grading, read_notebook, source_of, stripped
from tito.suite import environment
from tito.workspace import Workspace

WAY_ON = """\
Your notebooks are untouched. `tito check NN` exports and tests one as it is, `tito diff NN --anyway` shows the
reference's code beside it, and `tito reset NN` begins the chapter as it is now, after a backup (`tito start NN` where
there is no notebook of it)."""
FIRST = "0.1"  # it wrote no version
IMPORT_ALL = """
import importlib, sys, tinytorch
for finder in sys.meta_path:
    for name in getattr(finder, "modules", ()):
        importlib.import_module(name)
"""


def upgrade(workspace: Workspace) -> list[str]:
    """Make a workspace one of this version; returns what is to be said, nothing where it is one already."""
    try:
        marker = dict(json.loads(read_file(workspace.folder / MARKER)))
    except (ValueError, TypeError, RecursionError) as error:
        raise TitoError(f"{workspace.folder / MARKER}: not what tito wrote; write {{}} into it to go on") from error
    if marker.get("version") == __version__:
        return []
    said = [f"this workspace was made with tinytorch {marker.get('version', FIRST)}, and this is {__version__}"]
    mine = {path: workspace.exported(path) for path in workspace.yours()}
    begun = [chapter for chapter in chapters() if workspace.started(chapter)]
    backup = workspace.back_up(f"upgrade to {__version__}", [*map(workspace.notebook, begun), *mine.values()], False)
    workspace.said.clear()
    if backup:
        said.append(f"a copy of all that you wrote is in {workspace.shown(backup / 'files')}")
    aside = misfits({path: file.read_text(encoding="utf-8", errors="replace") for path, file in mine.items()})
    for path in aside:
        mine[path].unlink()
    aside |= dict(cannot_be_imported(workspace))
    if aside:
        said.append("set aside, so that the reference's file runs instead:")
        said += [f"  {(EXPORTED / path).as_posix()}: {why}" for path, why in aside.items()]
    changed = {chapter: text for chapter in begun if (text := changes(workspace, chapter))}
    if changed:
        said.append("chapters that are not what they were when you began them:")
        said += [f"  {chapter.name}: {text}" for chapter, text in changed.items()]
        said.append(WAY_ON)
    for name, noted in workspace.recorded("course").items():  # such as a test that is gone, which pytest would load
        if name not in workspace.course_contents() and digest_of(workspace.folder / name) == noted:
            (workspace.folder / name).unlink()
    workspace.renew_course()
    write_whole(workspace.folder / MARKER, json.dumps(marker | {"version": __version__}, indent=1).encode())
    return said


def changes(workspace: Workspace, chapter) -> str:
    """Return how the notebook that a student begins with now differs from the one that is there."""
    try:
        mine = read_notebook(workspace.notebook(chapter))["cells"]
    except TitoError as error:
        return str(error)
    have = {cell.get("id"): source_of(cell).rstrip() for cell in mine}
    cells = stripped(chapter.notebook)["cells"]
    new = sum(cell["id"] not in have for cell in cells)
    other = sum(have.get(cell["id"], source_of(cell).rstrip()) != source_of(cell).rstrip() for cell in cells
                if not grading(cell).get("solution"))  # fmt: skip
    gone = len(have.keys() - {cell["id"] for cell in cells})
    parts = [f"{count} {'is' if count == 1 else 'are'} {what}"
             for count, what in ((new, "new"), (other, "different"), (gone, "gone")) if count]  # fmt: skip
    return f"of its {len(cells)} cells {', '.join(parts)}" if parts else ""


# ---- what does not fit


def misfits(mine: dict[str, str], of_old: bool = True) -> dict[str, str]:
    """{path: why} for exported files, {path: source}, that do not fit the package any more.

    `of_old`: they were written for another version, so what they define and the package now has elsewhere is that.
    """
    reference = {path.relative_to(PACKAGE_FOLDER).as_posix(): path.read_text(encoding="utf-8")
                 for path in sorted(PACKAGE_FOLDER.rglob("*.py"))}  # fmt: skip
    owners = {path: chapter for chapter in chapters() for path in chapter.files}
    homes = cache(lambda: homes_in(reference))
    found = {}
    for path, text in mine.items():
        notebook = re.search(r"([^/\s]+)\.ipynb", text.partition("\n")[0])
        theirs = notebook and notebook[1] in {chapter.name for chapter in chapters()}
        if theirs and path not in owners:
            found[path] = f"{notebook[1]} does not export it any more"
        elif theirs and owners[path].name != notebook[1]:
            found[path] = f"{owners[path].name} exports it now, no longer {notebook[1]}"
    while True:
        left = {path: text for path, text in mine.items() if path not in found}
        package = Package(reference | left)
        more: dict[str, list[str]] = {}
        for path, why in reasons(package, left, reference if of_old else {}, homes):
            more.setdefault(path, []).append(why)
        if not more:
            return found
        found |= {path: "; ".join(those[:2]) for path, those in more.items()}


def homes_in(reference: dict[str, str]) -> dict[str, list[str]]:
    """Return in which files a name is defined."""
    homes: dict[str, list[str]] = {}
    for path, text in reference.items():
        for name in defined_in(ast.parse(text)):
            homes.setdefault(name, []).append(path)
    return homes


def reasons(package: "Package", mine: dict[str, str], reference: dict, homes: Callable) -> Iterator[tuple[str, str]]:
    for path in mine:
        if package.tree(path) is None:
            yield path, "it is not Python"
        elif path in reference:
            more = defined_in(package.tree(path)) - defined_in(ast.parse(reference[path]))
            moved = sorted(name for name in more if not is_private(name) and name in homes())
            if moved:
                yield path, f"it defines what is elsewhere now: {places(moved, homes())}"
    named = re.compile("|".join(rf"\b{module_of(path).rpartition('.')[2]}\b" for path in mine) or "$.")
    for path, text in package.texts.items():
        if path not in mine and not named.search(text):  # it takes nothing from them: parsing takes time
            continue
        missing = package.unresolved(path, None if path in mine else mine)
        if path in mine and missing:
            names = {module: [name for other, name in missing if other == module] for module, _ in missing}
            moved = [name for _, name in missing if name in homes()]
            gone = "; ".join(f"{module} has no {', '.join(those)} any more" for module, those in names.items())
            yield path, gone + (f"; now: {places(moved, homes())}" if moved else "")
        for target in {package.path_of(module) for module, _ in missing} & mine.keys() - {path}:
            names = [name for module, name in missing if package.path_of(module) == target]
            if path not in mine:
                yield target, f"it has no {', '.join(names)}, which {module_of(path)} takes from it"


def places(names: list[str], homes: dict[str, list[str]]) -> str:
    """Return where names are defined: "a, b in tinytorch.x"."""
    there: dict[str, list[str]] = {}
    for name in names:
        there.setdefault(" or ".join(map(module_of, homes[name])), []).append(name)
    return "; ".join(f"{', '.join(found)} in {module}" for module, found in there.items())


class Package:
    """Files of tinytorch, {path: source}: which names each has, and which it takes from others that have them not."""

    def __init__(self, texts: dict[str, str]):
        self.texts, self.trees, self.known = texts, {}, {}

    def tree(self, path: str | None) -> ast.Module | None:
        if path in self.texts and path not in self.trees:
            self.trees[path] = parsed(self.texts[path])
        return self.trees.get(path)

    def path_of(self, module: str) -> str | None:
        stem = "/".join(module.split(".")[1:])
        return next((path for path in (f"{stem}.py", f"{stem}/__init__.py".lstrip("/")) if path in self.texts), None)

    def names(self, module: str) -> set[str]:
        """Return what can be taken from a module: what is defined or imported there, and the modules inside of it."""
        if module not in self.known:
            self.known[module] = self._names(module)
        return self.known[module]

    def _names(self, module: str) -> set[str]:
        path = self.path_of(module)
        tree = self.tree(path)
        if tree is None:
            return set()
        found = {name for node in at_top_level(tree.body) for name in bound_by(node)}
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                other = self.tree(self.path_of(node.module))
                found |= all_names(other) if other else set()
        inside = path.removesuffix("__init__.py") if path.endswith("__init__.py") else None
        return found | {other[len(inside) :].split("/")[0].removesuffix(".py") for other in self.texts
                        if inside is not None and other.startswith(inside)}  # fmt: skip

    def unresolved(self, path: str, of: Collection[str] | None = None) -> list[tuple[str, str]]:
        """(module, name) for all that a file takes from modules, those in the files `of`, that do not have it."""
        taken, modules, tree = [], {}, self.tree(path)
        nodes = list(ast.walk(tree)) if tree else []
        for node in nodes:
            for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else []:
                if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tinytorch":
                    taken += [(node.module, alias.name)] if alias.name != "*" else []
                    if self.path_of(f"{node.module}.{alias.name}"):
                        modules[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                elif isinstance(node, ast.Import) and alias.name.split(".")[0] == "tinytorch" and alias.asname:
                    modules[alias.asname] = alias.name
        for node in nodes if modules else []:  # a parameter of that name is no module
            modules.pop(node.arg if isinstance(node, ast.arg) else stored(node), None)
        for node in nodes if modules else []:
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                taken.append((modules[node.value.id], node.attr))
        return [(module, name) for module, name in dict.fromkeys(taken)
                if (of is None or self.path_of(module) in of)
                and name not in self.names(module) and not name.startswith("__")]  # fmt: skip


def at_top_level(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes that run when a module is imported; of definitions only themselves."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from at_top_level(ast.iter_child_nodes(node))


def bound_by(node: ast.AST) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return {stored(node)} - {None}


def stored(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else None


def defined_in(tree: ast.Module | None) -> set[str]:
    """The functions and classes at the top level."""
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)} if tree else set()


def parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except SyntaxError:
        return None


def module_of(path: str) -> str:
    return f"tinytorch.{path.removesuffix('.py').replace('/', '.').removesuffix('.__init__')}"


def cannot_be_imported(workspace: Workspace) -> Iterator[tuple[str, str]]:
    """(path, why) for files at which the import of the package stops all the same; they are taken away one by one."""
    for _ in workspace.yours():
        done = subprocess.run(
            [sys.executable, "-P", "-c", IMPORT_ALL], cwd=workspace.folder, env=environment(workspace, []),
            capture_output=True, encoding="utf-8", errors="replace", timeout=300,
        )  # fmt: skip
        folder = re.escape(str(workspace.folder / EXPORTED))
        found = re.findall(rf"{folder}[/\\](.+?\.py)", done.stderr)
        if not done.returncode or not found:
            return
        path = found[-1].replace("\\", "/")
        workspace.exported(path).unlink()
        error = [line for line in done.stderr.strip().split("\n") if re.match(r"\w+(\.\w+)*(Error|Exception)?: ", line)]
        yield path, f"it cannot be imported ({error[-1] if error else 'it fails'})"
