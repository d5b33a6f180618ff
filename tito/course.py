"""What there is to work through: chapters, their suites and the milestones, in a clone or inside an installed wheel."""

import ast
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from tito.export import is_hand_written
from tito.layout import all_names
from tito.overlay import PACKAGE_FOLDER
from tito.project import TitoError, chosen_notebooks, notebooks
from tito.strip import exercises, exported_files, read_notebook

HERE = Path(__file__).resolve().parent

SCRIPTS = ("milestones", "clinic")  # folders of what is run with the package
PLUMBING = {"runs.py", "checkpoint.py"}  # how a run is written down; a milestone is not about that


def course_folder() -> Path:
    """The folder with modules/, tests/ and milestones/: in a wheel it is part of this package, else the clone."""
    for folder in (HERE / "course", HERE.parent):
        if (folder / "modules").is_dir():
            return folder
    raise TitoError(f"this installation has no course: neither {HERE / 'course'} nor {HERE.parent} holds modules/")


@dataclass(frozen=True)
class Chapter:
    """A notebook of the course, and what belongs to it."""

    notebook: Path

    @property
    def name(self) -> str:
        return self.notebook.stem

    @property
    def number(self) -> str:
        return self.name.split("_")[0]

    @cached_property
    def content(self) -> dict:
        return read_notebook(self.notebook)

    @cached_property
    def files(self) -> dict[str, bool]:
        """Paths of the modules that it exports, such as nn/layers.py: does the student write a part of it?"""
        return exported_files(self.content)

    @cached_property
    def own(self) -> set[str]:
        """The functions and classes that the student writes a part of."""
        return {name for source in exercises(self.content).values() for name in with_solution(source)}


@cache
def chapters() -> list[Chapter]:
    return [Chapter(path) for path in notebooks(course_folder())]


def chapter(number: str) -> Chapter:
    """The chapter of this number or name. Raises TitoError for one that does not exist."""
    (path,) = chosen_notebooks(course_folder(), [number])
    return Chapter(path)


def course_files() -> dict[str, Path]:
    """What a workspace has copies of, by its path there: the suites, what they share, and the scripts."""
    course = course_folder()
    tests = course / "tests"
    suites = [file for made in chapters() for file in (tests / made.name).rglob("*")]
    shared = [file for file in tests.glob("*.py") if not file.name.startswith("test_")]
    scripts = [file for name in SCRIPTS for file in (course / name).rglob("*")]
    found = sorted(suites + shared + scripts)
    return {
        file.relative_to(course).as_posix(): file
        for file in found
        if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith(".")
    }


# ---- milestones


@dataclass(frozen=True)
class Milestone:
    """A script that learns something with the package. `path` is relative to the course."""

    path: str
    file: Path

    @property
    def name(self) -> str:
        return self.file.stem

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.file.read_text(encoding="utf-8"))

    @property
    def title(self) -> str:
        return (ast.get_docstring(self.tree) or self.name).split("\n")[0].rstrip(".")

    @cached_property
    def needs(self) -> list[Chapter]:
        """The chapters where the student writes a part of what the script uses, by name or through others."""
        owners = {path: made for made in chapters() for path in made.files if path not in PLUMBING}
        wanted, found = {origin(module, name) for tree in self.trees() for module, name in names_used(tree)}, set()
        while wanted:
            found |= wanted
            below = {(path, other) for path, name in wanted if path in owners for other in mentioned(path, name)}
            wanted = {other for path, other in below
                      if other[0] in owners and owners[other[0]].name <= owners[path].name} - found  # fmt: skip
        written = {owners[path].name for path, name in found if path in owners and name in owners[path].own}
        return [made for made in chapters() if made.name in written]

    def trees(self) -> list[ast.Module]:
        """The script, and what it uses of scripts that milestones share."""
        found = [self.tree]
        for node in self.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                names = {alias.name for alias in node.names}
                shared = sorted(self.file.parents[1].rglob(f"{node.module}.py"))
                found += [part_of(ast.parse(path.read_text(encoding="utf-8")), names) for path in shared]
        return found


def milestones() -> list[Milestone]:
    found = [Milestone(path, file) for path, file in course_files().items() if path.startswith("milestones/")]
    return [one for one in found if one.file.suffix == ".py" and "__main__" in one.file.read_text(encoding="utf-8")]


def milestone(name: str) -> Milestone:
    """The milestone of this name. Raises TitoError for one that does not exist."""
    every = milestones()
    found = [one for one in every if name in (one.name, one.file.name)]
    if not found:
        raise TitoError(f"no milestone {name!r}: expected one of {', '.join(one.name for one in every)}")
    return found[0]


@cache
def reference(path: str) -> ast.Module:
    """A file of the reference package as a syntax tree; an empty one where it does not exist."""
    file = PACKAGE_FOLDER / path
    return ast.parse(file.read_text(encoding="utf-8") if file.is_file() else "")


@cache
def public_names(path: str) -> set[str]:
    """`__all__` of a file of the reference."""
    return all_names(reference(path))


def file_of(module: str) -> str:
    """tinytorch.nn.layers -> nn/layers.py, tinytorch.nn -> nn/__init__.py"""
    path = "/".join(module.split(".")[1:])
    return f"{path}.py" if path and not (PACKAGE_FOLDER / path).is_dir() else f"{path}/__init__.py".lstrip("/")


def imported(nodes) -> list[tuple[str, str, str]]:
    """(module, its name there, its name here) for what statements import from tinytorch."""
    found = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    ours = [node for node in found if node.module.split(".")[0] == "tinytorch"]
    return [(node.module, alias.name, alias.asname or alias.name) for node in ours for alias in node.names]


@cache
def names_of(path: str) -> tuple[set[str], dict[str, tuple[str, str]]]:
    """What a file of the reference defines, and {name: (module, name there)} for what it imports."""
    tree = reference(path)
    there = {alias: (module, theirs) for module, theirs, alias in imported(ast.walk(tree))}
    return {name for node in tree.body for name in defined_by(node)}, there


@cache
def mentioned(path: str, name: str) -> set[tuple[str, str]]:
    """(file, name) of all that the definition of `name` in a file of the reference mentions."""
    (here, there), tree = names_of(path), reference(path)
    own = [node for node in tree.body if name in defined_by(node)]
    words = names_in(node for statement in own for node in ast.walk(statement))
    found = {(path, word) for word in words & here} | {origin(*there[word]) for word in words & there.keys()}
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return found | {origin(module, word) for module, word in names_used(ast.Module(imports + own, []))}


def origin(module: str, name: str) -> tuple[str, str]:
    """(the file that defines `name` of `module`, its name there); faces such as tinytorch.nn hand on others' names."""
    path = file_of(module)
    if (PACKAGE_FOLDER / file_of(f"{module}.{name}")).is_file():
        return file_of(f"{module}.{name}"), ""
    if not is_hand_written(path):
        return path, name
    for source, theirs, here in imported(reference(path).body):
        if here == name or theirs == "*" and name in public_names(file_of(source)):
            return origin(source, name if theirs == "*" else theirs)
    return path, name


def names_used(tree: ast.Module) -> set[tuple[str, str]]:
    """(module, name) for what a script takes from tinytorch: imported, or as an attribute such as nn.Linear."""
    nodes = list(ast.walk(tree))
    mentioned = names_in(nodes)
    used = {(module, name) for module, name, here in imported(nodes) if here in mentioned}
    modules = {here: f"{module}.{name}" for module, name, here in imported(nodes)}
    for node in nodes:
        for alias in node.names if isinstance(node, ast.Import) else []:
            if alias.name.split(".")[0] == "tinytorch":
                modules[alias.asname or "tinytorch"] = alias.name if alias.asname else "tinytorch"
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            used.add((modules[node.value.id], node.attr))
    return used


def names_in(nodes) -> set[str]:
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def with_solution(source: str) -> set[str]:
    """The functions and classes of a cell in which a solution stands."""
    rows = [row for row, line in enumerate(source.split("\n"), 1) if line.strip() == "### BEGIN SOLUTION"]
    body = ast.parse(source).body
    return {name for node in body for row in rows if node.lineno <= row <= node.end_lineno for name in defined_by(node)}


def part_of(tree: ast.Module, names: set[str]) -> ast.Module:
    """The imports of a script, and its statements that define `names` or what those mention."""
    while True:
        kept = [node for node in tree.body if defined_by(node) & names]
        more = names | {name for node in kept for name in names_in(ast.walk(node))}
        if more == names:
            return ast.Module(kept + [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        names = more


def defined_by(node: ast.stmt) -> set[str]:
    targets = getattr(node, "targets", [node])
    return {getattr(target, "name", None) or getattr(target, "id", "") for target in targets} - {""}
