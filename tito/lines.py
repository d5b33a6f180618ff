"""Lines that the chapters export, how many of them the student writes, and the limits for both."""

from dataclasses import dataclass
from pathlib import Path

from tito.export import PACKAGE, VOCABULARY
from tito.open_form import given_names, open_source, package_texts
from tito.project import TitoError, notebooks
from tito.strip import exporting, is_marker, read_notebook, source_of, without_markers

LAST = "14"
MOST_LINES, LEAST_GUIDED, MOST_IN_PACKAGE = 4_000, 0.30, 5_500
MOST_IN_VOCABULARY = 2_810  # of these, 70 say which arguments of all chapters are of a wrong kind
ROOMS = {  # what came later: each has a limit of its own
    "nn/lora.py": 160, "quantization.py": 225, "speculative.py": 95, "run_guards.py": 90, "regular_files.py": 25,
    "platforms.py": 20,
    "counting.py": 265, "recomputation.py": 170, "pruning.py": 170, "distillation.py": 50,
    "scaling.py": 145,
    "ranks.py": 260, "witness.py": 50, "distributed.py": 480, "leaf_hooks.py": 25, "sampled.py": 35,
    "distributed_training.py": 220, "threads.py": 270,
    "nn/grouped.py": 50, "pretrained.py": 380, "weight_files.py": 170, "published.py": 190, "patterns.py": 20,
    "tokenizer_files.py": 260, "pictures": 220, "inside.py": 120, "capstone.py": 70}
APART = ("fast", "diagnosis", *ROOMS, *VOCABULARY)  # what the limit of the package leaves out


@dataclass(frozen=True)
class Count:
    """Lines that a chapter exports; those that the student writes, guided (in solution regions) and open."""

    chapter: str
    lines: int
    guided: int
    open: int

    def row(self) -> str:
        guided, opened = (f"{part:6,} {part / max(self.lines, 1):6.1%}" for part in (self.guided, self.open))
        return f"{self.chapter:20} {self.lines:6,} {guided} {opened}"


def counts(root: Path) -> list[Count]:
    """Every line of the cells that are exported counts, but not the markers of solutions."""
    chapters = notebooks(root)
    given = given_names(package_texts(chapters, root / PACKAGE))
    return [count(notebook, given) for notebook in chapters]


def count(notebook: Path, given: dict[str, set[str]]) -> Count:
    total = guided = opened = 0
    for cell, path in exporting(read_notebook(notebook)):
        inside = False
        for line in source_of(cell).splitlines():
            if is_marker(line):
                inside = "BEGIN" in line
            else:
                total, guided = total + 1, guided + inside
        opened += open_source(without_markers(source_of(cell)), given.get(path, set())).removed
    return Count(notebook.stem, total, guided, opened)


def of_course(found: list[Count]) -> Count:
    """The sum of the chapters that the limits are for."""
    those = [one for one in found if one.chapter.split("_")[0] <= LAST]
    return Count(f"01 to {LAST}", *(sum(getattr(one, part) for one in those) for part in ("lines", "guided", "open")))


def package_lines(root: Path) -> int:
    """Lines of the package's files, whoever wrote them, outside of the rooms `APART`."""
    package = root / PACKAGE
    return lines_of(set(package.rglob("*.py")) - files_of(package, APART))


def room_lines(root: Path) -> dict[str, int]:
    """Lines of each of the `ROOMS`."""
    return {room: lines_of(files_of(root / PACKAGE, (room,))) for room in ROOMS}


def vocabulary_lines(root: Path) -> int:
    return lines_of(files_of(root / PACKAGE, VOCABULARY))


def files_of(package: Path, rooms: tuple[str, ...]) -> set[Path]:
    """The Python files of rooms: folders and single files, named as seen from the package."""
    return {path for room in rooms for path in [package / room, *(package / room).rglob("*.py")] if path.is_file()}


def lines_of(files: set[Path]) -> int:
    return sum(path.read_bytes().count(b"\n") for path in files)


def report(root: Path) -> str:
    """The table that `tito build` prints. Raises TitoError for a hand-written file that is not Python."""
    try:
        found = counts(root)
    except SyntaxError as error:
        raise TitoError(f"{PACKAGE}/ holds a file that is not Python: {error.msg}: {error.text}") from error
    head = f"{'chapter':20} {'lines':>6} {'guided':>13} {'open':>13}"
    rows = [head, *(one.row() for one in [*found, of_course(found)])]
    rows.append(f"{'':20} at most {MOST_LINES:,} lines, guided at least {LEAST_GUIDED:.0%}")
    rows.append(f"{PACKAGE}/ without fast, diagnosis, rooms and vocabulary: {package_lines(root):,} lines, "
                f"at most {MOST_IN_PACKAGE:,}")
    rows.append(f"PyTorch's further vocabulary: {vocabulary_lines(root):,} lines, at most {MOST_IN_VOCABULARY:,}")
    rows += [f"{room}: {lines} lines, at most {ROOMS[room]}" for room, lines in room_lines(root).items()]
    return "\n".join(rows)
