"""What every suite shares: PyTorch as the reference, a fixed seed, one thread for small products, and patience."""
import gc
import os

# Before NumPy and PyTorch are imported: threads only slow small matrices down, and on a busy machine they spin for
# several times the work. Processes that a test starts inherit it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TINYTORCH_FAST", "plain")  # the plain forms; tests/fast turns the others on

import hypothesis  # noqa: E402
import pytest  # noqa: E402

import tinytorch  # noqa: E402
from tinytorch.platforms import IN_WASM  # noqa: E402
from tito.overlay import described  # noqa: E402

# The longest files first, by their seconds of the processor: two processes then end together.
LONG = [f"tests/{name}" for name in (
    "tito/test_student", "tito/test_automated_student", "test_suite_catches", "mistakes", "tito/test_instructor",
    "another_hand", "operations/test_table", "milestones", "grading", "clinic", "15", "tito", "fast", "site", "browser",
    "wrong_solutions", "twin", "28", "operations", "habits", "19")]

# A machine that is busy with other things makes no example wrong.
hypothesis.settings.register_profile("patient", hypothesis.settings(), deadline=None,
                                     suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def torch():
    "PyTorch. Where it is not installed its tests are skipped, except in CI, where that is a failure."
    if os.environ.get("CI"):
        import torch
    else:
        torch = pytest.importorskip("torch", reason="parity tests need the extra: pip install -e '.[parity]'")
    return torch


@pytest.fixture(scope="session")
def twins(torch):
    "The module twins.py: our GPT in torch.nn. It imports PyTorch, and so is imported only where that is there."
    import twins
    return twins


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call():
    "Python in a browser may lack the compiled package of checkpoints: what gets as far as writing one is skipped."
    try:
        return (yield)
    except ModuleNotFoundError as error:
        if not IN_WASM or "safetensors" not in str(error):
            raise
    pytest.skip("no safetensors for this platform")


@pytest.fixture(autouse=True)
def seeded():
    "Every test starts from the same random numbers."
    tinytorch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    "Look for no cycles among 33,000 tests that stay to the end: it takes half of the time."
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes, too: they are marked `slow`")


def pytest_collection_modifyitems(config, items):
    "Leave the slow tests out, unless they are asked for; let processes beside each other begin with the long files."
    left_out = [] if config.getoption("slow") else [item for item in items if item.get_closest_marker("slow")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    if hasattr(config, "workerinput"):  # a process of pytest-xdist: no short file is to wait for a long one at the end
        items.sort(key=lambda item: next((n for n, name in enumerate(LONG) if item.nodeid.startswith(name)), len(LONG)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    "With `-n`: all tests of a file in one process, so that a model is trained once for those that look at it."
    from xdist.scheduler import LoadFileScheduling

    if config.option.dist == "load":  # nobody asked for another way
        config.option.loadscopereorder = False
        return LoadFileScheduling(config, log)


def pytest_terminal_summary(terminalreporter):
    "Say what could not be tested for want of a program: once for each, and not to be overlooked."
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])
               if isinstance(report.longrepr, tuple) and " install " in report.longrepr[2]]
    for reason in dict.fromkeys(reasons):
        terminalreporter.line(f"NOT TESTED: {reason.removeprefix('Skipped: ')}", red=True, bold=True)


def pytest_report_header(config):
    "In a student's workspace: whose files are tested. Elsewhere: what is left out."
    return described() or (None if config.getoption("slow") else "tests marked slow are left out: --slow runs them")
