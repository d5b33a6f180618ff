"""No false alarms: the models of all milestones, as they are trained there."""
import importlib.util
from pathlib import Path

import pytest

from tinytorch.diagnosis import diagnose

spec = importlib.util.spec_from_file_location("healthy", Path(__file__).parent / "healthy.py")
healthy = importlib.util.module_from_spec(spec)
spec.loader.exec_module(healthy)


@pytest.mark.parametrize("name", healthy.MODELS)
def test_nothing_is_found(name):
    report = diagnose(**healthy.build(name))
    assert not report.findings, str(report)
