"""What there is to work through: chapters, their suites and the milestones, in a clone or inside an installed wheel."""

import ast
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from tito.layout import all_names
from tito.overlay import PACKAGE_FOLDER
from tito.project import TitoError, chosen_notebooks, notebooks
from tito.strip import exported_files, read_notebook

HERE = Path(__file__).resolve().parent

SCRIPTS = ("milestones", "clinic")  # folders of what is run with the package


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


@cache
def chapters() -> list[Chapter]:
    return [Chapter(path) for path in notebooks(course_folder())]


def chapter(number: str) -> Chapter:
    """The chapter of this number or name. Raises TitoError for one that does not exist."""
    (path,) = chosen_notebooks(course_folder(), [number])
    return Chapter(path)


def course_files() -> dict[str, Path]:
    """Return what a workspace has copies of, by its path there: the suites, what they share, and the scripts."""
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
        """The chapters whose code runs in it, as it declares them itself: NEEDS = ("01", ...)."""
        numbers = self.declared("NEEDS")
        if numbers is None:
            raise TitoError(f"{self.path} does not say which chapters it needs: expected a line such as"
                            " NEEDS = (\"01\",)")  # fmt: skip
        return [chapter(number) for number in numbers]

    @cached_property
    def opener(self) -> Chapter:
        """The chapter that opens it: OPENED_BY = "11" where it says so, else the last that it needs."""
        number = self.declared("OPENED_BY")
        return self.needs[-1] if number is None else chapter(number)

    def declared(self, name: str) -> tuple[str, ...] | str | None:
        """The value that the script gives to a name, None for no such line."""
        for node in self.tree.body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == name:
                return ast.literal_eval(node.value)
        return None


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
def public_names(path: str) -> set[str]:
    """The public names of a file of the reference."""
    file = PACKAGE_FOLDER / path
    return all_names(ast.parse(file.read_text(encoding="utf-8") if file.is_file() else ""))
