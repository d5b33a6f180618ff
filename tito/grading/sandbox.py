"""The sandbox that a submission runs in, which is bubblewrap's: it sees the Python that we run in, the package, and
an empty folder; no network, no file of yours, no process but its own; and all of that ends with it.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tito.course import HERE, course_folder
from tito.overlay import PACKAGE_FOLDER

INSIDE = "/course"  # what `make_view` made, in the sandbox
VARIABLES = {
    "LANG": "C.UTF-8", "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "TINYTORCH_WORKSPACE": "",
}  # fmt: skip
SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
WRITABLE = ("/tmp", "/dev/shm")
NAMESPACES = ("ipc", "pid", "net", "uts", "cgroup-try")


@dataclass(frozen=True)
class Limits:
    """What a submission may use; the seconds are those of a cell."""

    seconds: float = 120
    memory: int = 4 << 30  # bytes, of a process, and of all together
    processes: int = 64
    disk: int = 256 << 20  # bytes

    def of_process(self) -> dict[str, int]:
        return {"AS": self.memory, "NPROC": self.processes, "FSIZE": self.disk, "CORE": 0}


def sandbox(view: Path, limits: Limits) -> list[str]:
    """The command that another command follows, which then runs in the sandbox."""
    seen = [*(path for path in SYSTEM if os.path.exists(path)), *python_folders()]
    above = dict.fromkeys(str(up) for path in seen for up in reversed(Path(path).parents[:-1]) if str(up) != "/tmp")
    root = os.getuid() == 0  # it becomes nobody inside: the limit of processes is none for root
    parts = [
        ["--proc", "/proc"], ["--dev", "/dev"],
        *(["--perms", "1777", "--size", str(limits.disk), "--tmpfs", path] for path in WRITABLE),
        *(["--perms", "0755", "--dir", path] for path in above),
        *(["--ro-bind", path, path] for path in seen), *(["--tmpfs", path] for path in with_solutions()),
        ["--ro-bind", str(view), INSIDE], ["--remount-ro", "/dev"], ["--remount-ro", "/"],
        ["--chdir", "/tmp", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"],
        ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if root else ["--unshare-user"],
        *([f"--unshare-{kind}"] for kind in NAMESPACES),
        *(["--setenv", *pair] for pair in (variables(INSIDE) | {"HOME": "/tmp", "PATH": os.defpath}).items()),
    ]  # fmt: skip
    return ["bwrap", *(word for part in parts for word in part), "--"]


def variables(view: Path | str) -> dict[str, str]:
    return VARIABLES | {"PYTHONPATH": str(view)}


def python_folders() -> list[str]:
    """Where the Python that we run has its files and packages."""
    folders = [sys.base_prefix, sys.prefix, *(path for path in sys.path if path.endswith("-packages"))]
    return [path for path in dict.fromkeys(folders) if os.path.isdir(path)]


def with_solutions() -> list[str]:
    """Folders of the course, and of the package itself, that would be seen with all the rest."""
    course, seen = course_folder(), [Path("/usr"), *map(Path, python_folders())]
    folders = [PACKAGE_FOLDER, HERE, *(course / name for name in ("modules", "tests"))]
    return [str(path) for path in folders if path.is_dir() and any(path.is_relative_to(folder) for folder in seen)]


def why_no_sandbox() -> str:
    """What keeps this machine from having a sandbox, as a line of text; "" where it has one."""
    if sys.platform != "linux":
        return "bubblewrap, which isolates submissions, needs Linux: grade in a virtual machine"
    if shutil.which("bwrap") is None:
        return "bubblewrap, which isolates submissions, is missing: apt-get install bubblewrap"
    command = [*sandbox(Path(__file__).parent, Limits()), sys.executable, "-c", "import numpy"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
    lines = done.stderr.strip().split("\n")
    return f"bubblewrap does not work here: {lines[-1]}" if done.returncode else ""
