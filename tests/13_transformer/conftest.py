"""The PyTorch twin as a fixture: imported only where PyTorch is there."""
import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def twin(torch):
    "The module twin.py."
    spec = importlib.util.spec_from_file_location("twin", Path(__file__).with_name("twin.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
