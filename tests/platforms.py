"""What a test needs that a browser does not have. There it is skipped, and says for want of what."""
from importlib import import_module

import pytest

from tinytorch.platforms import FILE_LOCKS, IN_WASM, PROCESSES, THREADS

needs_threads = pytest.mark.skipif(not THREADS, reason="starts threads, and this platform has none")
needs_processes = pytest.mark.skipif(not PROCESSES, reason="starts a process, and this platform has none")
needs_file_locks = pytest.mark.skipif(not FILE_LOCKS, reason="locks a file, and this platform has no locks")
needs_event_loop = pytest.mark.skipif(IN_WASM, reason="runs an event loop, and this platform has no sockets to wake it")


def compiled_package(name):
    "Import a package that is not Python alone; in a browser that has none, the file of tests is skipped."
    return pytest.importorskip(name, reason=f"no {name} for this platform") if IN_WASM else import_module(name)
