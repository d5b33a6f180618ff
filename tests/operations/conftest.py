"""What the suites here share: the two libraries, and a count of what was checked."""
import collections

import pytest
from operations import checks


@pytest.fixture(scope="session")
def ours():
    return checks.Ours()


@pytest.fixture(scope="session")
def theirs(torch):
    return checks.Theirs(torch)


def pytest_terminal_summary(terminalreporter):
    "How many operations, in how many cases, went through how many checks."
    counts, operations, cases = collections.Counter(), set(), set()
    for report in terminalreporter.stats.get("passed", []):
        if report.when == "call" and "operations/test_table.py::" in report.nodeid and "[" in report.nodeid:
            check, _, parameters = report.nodeid.rpartition("::")[2].partition("[")
            case = parameters.rstrip("]").split("@")[0]
            counts[check] += 1
            operations.add(case.split("-")[0])
            cases.add(case)
    if counts:
        terminalreporter.section("the table of operations")
        for check, count in counts.items():
            terminalreporter.line(f"{count:6} x {check.removeprefix('test_').replace('_', ' ')}")
        total = sum(counts.values())
        terminalreporter.line(f"{total} checks passed: {len(operations)} operations in {len(cases)} cases")
