"""`tito milestone run NAME -n 2`: a milestone on several processes that share each batch, started by MPI."""

import importlib.util
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tito.course import Milestone, milestones
from tito.project import TitoError
from tito.runs import read_json

MOST_RESTARTS = 3  # of a run that comes no further
ENDED = (0, 2, 130)  # well, with wrong input, by Ctrl-C


def start_of(milestone: Milestone, ranks: int, script: str, folder: Path, variables: dict[str, str]) -> Callable:
    """As `on_ranks`. Raises TitoError also where the milestone trains in one process only."""
    if not milestone.declared("RANKS"):
        able = [one.name for one in milestones() if one.declared("RANKS")]
        raise TitoError(f"{milestone.name} trains in one process; on several: {', '.join(able)}")
    return on_ranks(ranks, script, folder, variables)


def on_ranks(ranks: int, script: str, folder: Path, variables: dict[str, str]) -> Callable:
    """A function that runs a script with its options on several processes; it returns the exit status.

    Raises TitoError without MPI.
    """
    beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
    mpiexec = beside or shutil.which("mpiexec")
    if mpiexec is None or importlib.util.find_spec("mpi4py") is None:
        raise TitoError("several processes need MPI: pip install mpi4py mpich")
    start = [mpiexec, "-n", str(ranks), sys.executable, "-m", "mpi4py", script]
    return lambda options: wait_for([*start, *options], folder, one_thread_each(variables))


def one_thread_each(variables: dict[str, str]) -> dict[str, str]:
    """Threads of several processes on the same cores wait for each other, and spin meanwhile."""
    return variables | {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}


def wait_for(command: list[str], folder: Path, variables: dict[str, str]) -> int:
    """Run a command, which gets Ctrl-C itself and ends after a whole step; return its exit status."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.run(
            command, cwd=folder, env=variables, preexec_fn=lambda: signal.signal(signal.SIGINT, before)
        ).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def run_until_it_ends(run: Callable, options: list[str], written: Callable, elastic: bool = True) -> int:
    """Call run(options), and, if `elastic`, run(["--resume", folder]) as long as it is killed; return the last status.

    written: returns the folders of runs that were written to meanwhile. Gives up after MOST_RESTARTS without a step.
    """
    status, reached, left = run(options), None, MOST_RESTARTS
    while elastic and status not in ENDED and left and (folder := unfinished(written())):
        step = read_json(folder / "status.json").get("step")
        left, reached = (left - 1 if step == reached else MOST_RESTARTS), step
        print(f"\na process was lost (status {status}): it goes on after step {step or 0}, in {folder}", flush=True)
        status = run(["--resume", str(folder)])
    return status


def unfinished(folders: list[Path]) -> Path | None:
    """The latest of these runs, unless it was judged already."""
    return folders[-1] if folders and not (folders[-1] / "results.json").exists() else None
