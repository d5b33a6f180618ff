"""python run_with.py JOBS.json: pytest for each job, on a copy of the package in which one file is another.

A job: {"tests", "options", "file", "source", "output"}; without "file" the package is as it is. Where the system can
fork, each job is a fork of one process that has imported NumPy and pytest already, which takes a third of a second;
else a process of its own. PyTorch is hidden: the chapter's own checks must notice a mistake. Writes what pytest printed
to `output`, and its status as the last line, unless it was stopped.
"""
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import hypothesis  # noqa: F401 - these three so that they are there when a job begins
import numpy  # noqa: F401
import pytest

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
PROCESSES = 2
SECONDS = 120  # of the processor: a solution may not end
PATIENCE = 1800  # seconds by the clock, which go by on a busy machine: it may also wait for ever


def outputs(jobs, folder):
    "What pytest printed for each of `jobs`, {key: job}, in two processes, with `folder` for what is passed on."
    for number, job in enumerate(jobs.values()):
        job["output"] = str(folder / f"{number}.txt")
    hidden = ("CI", "PYTHONDONTWRITEBYTECODE", "PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "1000",
                    "NUMBA_DISABLE_JIT": "1"}  # a loop means the same in Python, and is not compiled for every mistake
    processes = []
    for number, part in enumerate(dealt(jobs.values())):
        file = folder / f"jobs{number}.json"
        file.write_text(json.dumps(part), encoding="utf-8")
        processes.append(subprocess.Popen([sys.executable, __file__, file], cwd=folder, env=environment))
    assert [process.wait() for process in processes] == [0] * PROCESSES
    return {key: Path(job["output"]).read_text(encoding="utf-8") for key, job in jobs.items()}


def dealt(jobs):
    "Deal jobs to the processes, those with the same tests to the same one."
    alike, parts = {}, [[] for _ in range(PROCESSES)]
    for job in jobs:
        alike.setdefault(job["tests"], []).append(job)
    for group in sorted(alike.values(), key=len, reverse=True):
        min(parts, key=len).extend(group)
    return parts


class QuickestFirst:
    "For pytest: tests in the order of the seconds that they took in a job before this one, which `file` passes on."
    def __init__(self, file):
        self.file = file
        self.seconds = json.loads(file.read_text()) if file.exists() else {}

    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: self.seconds.get(item.nodeid, 0))

    def pytest_runtest_logreport(self, report):
        before = 0 if report.when == "setup" else self.seconds[report.nodeid]
        self.seconds[report.nodeid] = before + report.duration

    def pytest_sessionfinish(self):
        self.file.write_text(json.dumps(self.seconds))


@contextmanager
def changed(package, job):
    "The copy `package` of tinytorch, in which one file is another meanwhile."
    if "file" not in job:
        yield
        return
    file, bytecode = package / job["file"], Path(importlib.util.cache_from_source(package / job["file"]))
    bytecode.unlink(missing_ok=True)  # it is known by second and size, which two mistakes may have in common
    file.write_text(job["source"], encoding="utf-8")
    yield
    bytecode.unlink(missing_ok=True)
    shutil.copy2(ROOT / "tinytorch" / job["file"], file)


def run(job):
    "Run pytest for a job; this process is good for nothing else any more."
    with open(job["output"], "w", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        order = QuickestFirst(Path(f"{'-'.join(Path(job['tests']).parts[-2:])}.json"))
        status = int(pytest.main([*OPTIONS, *job["options"], job["tests"]], plugins=[order]))
        sys.stdout.flush()
        print(f"\nstatus {status}", flush=True)


def fork(job):
    "Run a job in a fork of this process, within its limits."
    import resource
    import signal

    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (seconds := job.get("seconds", SECONDS), seconds))
            signal.alarm(PATIENCE)
            run(job)
        finally:
            os._exit(0)
    os.waitpid(child, 0)


def start(job):
    "Run a job in a process of its own, with the clock as its limit."
    Path("job.json").write_text(json.dumps(job), encoding="utf-8")
    program = "import json, run_with; run_with.run(json.load(open('job.json', encoding='utf-8')))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.environ["PYTHONPATH"], str(Path(__file__).parent)])}
    with suppress(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", program], env=environment, timeout=PATIENCE)


def main(path):
    jobs = json.loads(Path(path).read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="copy-", ignore_cleanup_errors=True) as folder:
        package = shutil.copytree(ROOT / "tinytorch", Path(folder, "tinytorch"))
        tool = shutil.copytree(ROOT / "tito", Path(folder, "tito"), ignore=shutil.ignore_patterns("course"))
        (tool / "course").mkdir()
        for name in ("modules", "tests", "milestones", "clinic"):  # where a wheel has them
            (tool / "course" / name).symlink_to(ROOT / name)
        Path(folder, "torch.py").write_text("raise ModuleNotFoundError('hidden: our own tests must notice')\n")
        os.chdir(folder)
        sys.path.insert(0, folder)
        sys.pycache_prefix, sys.dont_write_bytecode = f"{folder}/bytecode", False
        os.environ |= {"PYTHONPATH": folder, "PYTHONPYCACHEPREFIX": sys.pycache_prefix, "TINYTORCH_CACHE": folder}
        for job in jobs:
            with changed(package, job):
                fork(job) if hasattr(os, "fork") else start(job)
        os.chdir(ROOT)


if __name__ == "__main__":
    main(sys.argv[1])
