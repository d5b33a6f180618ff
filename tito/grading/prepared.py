"""What the grading of all submissions of an assignment needs, once: the package to be seen, and the checks."""

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tito.grading.checks import Check, from_json
from tito.grading.sandbox import Limits
from tito.grading.session import Ended, Outcome, Session, checks_of, failure, imports_of
from tito.grading.view import make_view
from tito.project import TitoError
from tito.strip import grading, read_notebook, source_of

FOLDER = "TITO_GRADING"  # the environment variable that tells nbgrader's process where it is


@dataclass
class Prepared:
    folder: Path
    view: Path  # what can be imported in the sandbox
    limits: Limits
    imports: list[str]
    trust: bool
    checks: dict[str, Check] = field(default_factory=dict)

    def session(self) -> Session:
        return Session(self.view, self.limits, self.imports, self.trust)

    def played(self, cells: list[tuple[str, str]]) -> list[Outcome]:
        """What comes of the cells of a submission, given as (name, source), with "" for what is no check."""
        outcomes = []
        try:
            with self.session() as session:
                for name, source in cells:
                    outcomes.append(session.check(name, self.checks[name]) if name else session.cell(source))
        except Ended as ended:
            left = failure("NotRun", f"{ended}: from this cell on nothing has run")
            outcomes += [Outcome(left)] * (len(cells) - len(outcomes))
        return outcomes

    def write(self) -> None:
        said = asdict(self) | {"folder": str(self.folder), "view": str(self.view)}
        (self.folder / "prepared.json").write_text(json.dumps(said))

    @classmethod
    def read(cls, folder: Path) -> "Prepared":
        said = json.loads((folder / "prepared.json").read_text())
        checks = {name: from_json(check) for name, check in said["checks"].items()}
        return cls(folder, Path(said["view"]), Limits(**said["limits"]), said["imports"], said["trust"], checks)


def prepare(source: Path, folder: Path, limits: Limits, trust: bool = False) -> Prepared:
    """Run a notebook with solutions in the sandbox, and learn from it what its checks ask.

    Raises TitoError where it does not pass its own checks.
    """
    cells = code_cells(read_notebook(source))
    imports = imports_of([text for _, text in cells])
    for number, hidden in enumerate((True, False)):  # some chapters measure what they export: they need it written
        prepared = Prepared(folder, folder / f"view-{number}", limits, imports, trust)
        make_view(source, prepared.view, except_for=imports if hidden else None)
        try:
            with replace(prepared, limits=replace(limits, seconds=600)).session() as session:
                prepared.checks = checks_of(cells, session)
            prepared.write()
            return prepared
        except (Ended, ValueError) as error:
            why = error
    raise TitoError(f"{source}: the solutions do not pass their own checks here: {why}")


def code_cells(notebook: dict) -> list[tuple[str, str]]:
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [(grading(cell)["grade_id"] if is_check(cell) else "", source_of(cell)) for cell in cells]


def is_check(cell: dict) -> bool:
    """Return whether a cell is graded by running it; what is a solution as well is graded by hand."""
    return bool(grading(cell).get("grade")) and not grading(cell).get("solution")
