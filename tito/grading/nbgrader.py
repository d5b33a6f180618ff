"""nbgrader's step that executes a notebook, as ours: in a session. Its outputs say what earns points: a check without
an error has passed.
"""

import os
import resource
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from nbformat.v4 import new_output
from nbgrader.preprocessors import Execute

from tito.grading.prepared import FOLDER, Prepared, is_check, prepare
from tito.grading.sandbox import Limits, why_no_sandbox
from tito.grading.session import Outcome
from tito.project import TitoError

NO_LIMIT = 24 * 3600  # seconds


class RunInSandbox(Execute):
    """Runs the cells of a submission. `c.Execute.timeout` is the limit of a cell, as ever."""

    def preprocess(self, nb, resources=None, km=None):
        with prepared_for(resources["nbgrader"]) as grading:
            memory = 2 * grading.limits.memory
            with suppress(ValueError, OSError):  # not on this system
                resource.setrlimit(resource.RLIMIT_AS, (memory, memory))  # what a submission sends may be large
            grading.limits = replace(grading.limits, seconds=self.timeout or NO_LIMIT)
            cells = [cell for cell in nb.cells if cell.cell_type == "code"]
            named = [(cell.metadata.nbgrader["grade_id"] if is_check(cell) else "", cell.source) for cell in cells]
            for cell, outcome in zip(cells, grading.played(named)):
                cell.outputs = outputs_of(outcome)
        return nb, resources


@contextmanager
def prepared_for(submission: dict):
    """What `tito autograde` has prepared; where nbgrader was started by itself, it is prepared now.

    Raises TitoError where there is no sandbox.
    """
    if FOLDER in os.environ:
        yield Prepared.read(Path(os.environ[FOLDER]))
        return
    if reason := why_no_sandbox():
        raise TitoError(f"{reason}; see `tito autograde --help`")
    with TemporaryDirectory(prefix="tito-") as folder:
        source = Path("source", submission["assignment"], f"{submission['notebook']}.ipynb")  # from the course on
        yield prepare(source.resolve(), Path(folder), Limits())


def outputs_of(outcome: Outcome) -> list:
    """What a notebook shows of a cell; an error is what costs points."""
    printed = [new_output("stream", name="stdout", text=outcome.stdout)] if outcome.stdout else []
    shown = [new_output("display_data", data=data) for data in outcome.shown]
    return [*printed, *shown, *([new_output("error", **outcome.error)] if outcome.error else [])]
