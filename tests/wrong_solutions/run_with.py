"""python run_with.py JOBS.json: pytest for each job, on a copy of the package in which one file is another.

A job: {"tests", "options", "file", "source", "output"}; without "file" the package is as it is. Where the system can
fork, the tests are collected once, with the package as it is, and each job is a fork in which the functions that differ
get their other code; a job whose file differs elsewhere is a fork that imports everything itself. Without forks it is a
process of its own. PyTorch is hidden: the chapter's own checks must notice a mistake. Writes what pytest printed to
`output`, and its status as the last line, unless it was stopped.
"""
import gc
import importlib.util
import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import hypothesis  # noqa: F401 - these three so that they are there when a job begins
import numpy  # noqa: F401
import pytest

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = ["-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT)]
PROCESSES = 2
SECONDS = 120  # of the processor: a solution may not end
UNKNOWN = 0.05  # seconds that a test may take of which nothing is known
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
    parts = [[] for _ in range(PROCESSES)]
    for group in sorted(grouped(jobs), key=len, reverse=True):
        min(parts, key=len).extend(group)
    return parts


def grouped(jobs):
    "Jobs with the same tests and options together."
    groups = {}
    for job in jobs:
        groups.setdefault((job["tests"], *job["options"]), []).append(job)
    return list(groups.values())


def guess(name):
    "Seconds of a test of which nothing is known: of an example worked by hand none, of what starts processes some."
    return 0 if "by_hand" in name else 20 * UNKNOWN if "kill" in name else UNKNOWN


class QuickestFirst:
    "For pytest: tests in the order of the seconds that they took in a job before this one, which `file` passes on."
    def __init__(self, file):
        self.file = file
        self.seconds = json.loads(file.read_text()) if file.exists() else {}

    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: self.seconds.get(item.nodeid, guess(item.nodeid)))

    def pytest_runtest_logreport(self, report):
        before = 0 if report.when == "setup" else self.seconds[report.nodeid]
        self.seconds[report.nodeid] = before + report.duration

    def pytest_sessionfinish(self):
        self.file.write_text(json.dumps(self.seconds))


def put(package, job):
    "Write a job's file into the copy `package` of tinytorch."
    if "file" in job:
        file, bytecode = package / job["file"], Path(importlib.util.cache_from_source(package / job["file"]))
        bytecode.unlink(missing_ok=True)  # it is known by second and size, which two mistakes may have in common
        file.write_text(job["source"], encoding="utf-8")


def put_back(package, job):
    if "file" in job:
        Path(importlib.util.cache_from_source(package / job["file"])).unlink(missing_ok=True)
        shutil.copy2(ROOT / "tinytorch" / job["file"], package / job["file"])


# ---- the same process with other functions


def other_functions(job):
    "{code of a function: what it is in the job's file}; None where more differs than what functions do."
    if "file" not in job:
        return {}
    if ".." in Path(job["file"]).parts:  # beside the package: it has done its work when the tests are collected
        return None
    original = (ROOT / "tinytorch" / job["file"]).read_text(encoding="utf-8")
    found = {}
    try:
        same = compare(*(compile(text, job["file"], "exec", dont_inherit=True) for text in (original, job["source"])),
                       found)
    except SyntaxError:
        return None
    return found if same else None


def compare(old, new, found):
    "Collect the functions that differ; return whether all else of a module or class body is the same."
    inner = [[part for part in code.co_consts if inspect.iscode(part)] for code in (old, new)]
    if old.co_flags & inspect.CO_NEWLOCALS:  # a function
        if essence(old) != essence(new) or len(inner[0]) != len(inner[1]) or not all(map(alike, *inner)):
            found[old] = new
        return old.co_freevars == new.co_freevars
    same = essence(old) == essence(new) and len(inner[0]) == len(inner[1])
    return same and all([compare(a, b, found) for a, b in zip(*inner)])


def essence(code):
    "What it does, wherever it stands, but for the functions in it."
    values = [(type(part), repr(part)) for part in code.co_consts if not inspect.iscode(part)]
    return code.co_name, code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, values


def alike(old, new):
    inner = [[part for part in code.co_consts if inspect.iscode(part)] for code in (old, new)]
    return essence(old) == essence(new) and len(inner[0]) == len(inner[1]) and all(map(alike, *inner))


class OneByOne:
    "For pytest: once the tests are collected, a fork for each job runs them; this process then ends."
    def __init__(self, package, jobs):
        self.package, self.jobs = package, jobs

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        functions = {}  # by their code
        gc.unfreeze()  # tests/conftest.py hides from gc what was there when the tests were collected
        for thing in gc.get_objects():
            if inspect.isfunction(thing) and thing.__code__.co_filename.startswith(str(self.package)):
                functions.setdefault(thing.__code__, []).append(thing)
        gc.freeze()  # what is there stays shared by the forks
        for job in self.jobs:
            put(self.package, job)
            if (child := os.fork()) == 0:
                capture = session.config.pluginmanager.getplugin("capturemanager")
                capture.stop_global_capturing()  # it holds where output went before
                begin(job)
                capture.start_global_capturing()
                capture.suspend_global_capture()
                for old, new in other_functions(job).items():
                    for function in functions[old]:
                        function.__code__ = new
                order_of(job).pytest_collection_modifyitems(session.items)
                session.config.pluginmanager.register(order_of(job))
                return None  # pytest goes on with its own loop
            os.waitpid(child, 0)
            put_back(self.package, job)
        os._exit(0)


def order_of(job):
    return QuickestFirst(Path(f"{'-'.join(Path(job['tests']).parts[-2:])}.json"))


def run_together(package, jobs):
    "Run jobs of the same tests and options, for which only functions differ; this process is good for nothing else."
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    end(pytest.main([*OPTIONS, *jobs[0]["options"], jobs[0]["tests"]], plugins=[OneByOne(package, jobs)]))


def end(status):
    sys.stdout.flush()
    print(f"\nstatus {int(status)}", flush=True)
    os._exit(0)


# ---- a process that imports everything


def begin(job):
    "Write to the job's output from here on, within its limits."
    with open(job["output"], "w", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    if hasattr(os, "fork"):
        import resource
        import signal

        resource.setrlimit(resource.RLIMIT_CPU, (seconds := job.get("seconds", SECONDS), seconds))
        signal.alarm(PATIENCE)


def run(job):
    "Run pytest for a job; this process is good for nothing else any more."
    begin(job)
    end(pytest.main([*OPTIONS, *job["options"], job["tests"]], plugins=[order_of(job)]))


def in_fork(function, *arguments):
    child = os.fork()
    if child == 0:
        try:
            function(*arguments)
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
        if hasattr(os, "fork"):
            for group in grouped(job for job in jobs if other_functions(job) is not None):
                in_fork(run_together, package, group)
        for job in jobs:
            if not Path(job["output"]).exists():
                put(package, job)
                in_fork(run, job) if hasattr(os, "fork") else start(job)
                put_back(package, job)
        os.chdir(ROOT)


if __name__ == "__main__":
    main(sys.argv[1])
