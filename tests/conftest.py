"""What every suite shares: PyTorch as the reference, a fixed seed, one thread for small products, and patience."""
import os

# Before NumPy and PyTorch are imported: threads only slow small matrices down, and on a busy machine they spin for
# several times the work. Processes that a test starts inherit it.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TINYTORCH_FAST", "plain")  # the plain forms; tests/fast turns the others on

import hypothesis  # noqa: E402
import pytest  # noqa: E402

import tinytorch  # noqa: E402
from tinytorch.workspace import described  # noqa: E402

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


@pytest.fixture(autouse=True)
def seeded():
    "Every test starts from the same random numbers."
    tinytorch.manual_seed(0)


def pytest_report_header():
    "In a student's workspace: whose files are tested."
    return described() or None


def pytest_terminal_summary(terminalreporter):
    "One line that cannot be missed where the sandbox was not tested."
    reports = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    if why := next((text for text in reports if "no sandbox here: " in text), ""):
        why = why.partition("no sandbox here: ")[2].rstrip("')")
        terminalreporter.write_line(f"NOT TESTED: the sandbox of graded submissions. {why}", red=True, bold=True)
