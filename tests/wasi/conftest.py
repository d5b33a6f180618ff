import pytest
from wasi.guest import Guest


@pytest.fixture(scope="session")
def guest(tmp_path_factory):
    "A wasm32 machine. Its first start on a computer compiles it, which takes a minute or two, and is kept."
    return Guest(tmp_path_factory.mktemp("guest"))
