"""The tokenizers of others, as a reference; skipped where they are not installed, except in CI."""
import importlib
import os

import pytest


def reference(name):
    if os.environ.get("CI"):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason="parity tests need the extra: pip install -e '.[parity]'")


@pytest.fixture(scope="session")
def tokenizers():
    "Hugging Face's tokenizers."
    return reference("tokenizers")


@pytest.fixture(scope="session")
def tiktoken():
    "OpenAI's tiktoken."
    return reference("tiktoken")
