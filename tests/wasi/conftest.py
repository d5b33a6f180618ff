import fcntl
import tempfile
from pathlib import Path

import pytest
from wasi.guest import Guest


@pytest.fixture(scope="session")
def guest(tmp_path_factory):
    """A wasm32 machine. Its first start on a computer compiles it, which takes a minute, and is kept: of several
    processes the first does it, and the others wait."""
    made = Guest(tmp_path_factory.mktemp("guest"))
    with Path(tempfile.gettempdir(), "tinytorch-wasi.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        made.run("")
    return made
