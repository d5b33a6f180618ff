"""Runs notebooks top to bottom, each in a kernel process and a temporary folder of its own."""

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Run:
    """What came of a notebook: its failure as text ("" for none), how long it took, the cells as they ran."""

    failure: str
    seconds: float
    executed: Any = None  # a notebook node, if it was one


def run_notebook(notebook: Path, root: Path, timeout: int) -> Run:
    """Execute a notebook against the package in `root`; the file itself is not changed.

    `timeout` is in seconds for each cell. A failing cell comes back in `Run.failure`, with its traceback.
    """
    import nbformat
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    # Without folders to search, "python3" is this interpreter's own ipykernel: no installed spec is needed.
    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    started, failure, content = time.perf_counter(), "", None
    with tempfile.TemporaryDirectory(prefix="tito-") as folder:
        try:
            content = nbformat.read(notebook, as_version=4)
            resources = {"metadata": {"path": folder}}
            client = NotebookClient(
                content,
                km=manager,
                timeout=timeout,
                resources=resources,
                extra_arguments=["--log-level=ERROR"],  # no warning about the local TCP ports for each kernel
            )
            # One thread: products here are small, and on a busy machine a second one waits more than it works.
            client.execute(env={"OPENBLAS_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path})
        except CellTimeoutError as error:
            failure = f"a cell ran for more than {timeout} s\n{error}"
        except (CellExecutionError, DeadKernelError, nbformat.ValidationError) as error:
            failure = str(error)
        except nbformat.reader.NotJSONError:
            failure = "not a notebook (expected JSON)"
    return Run(failure, time.perf_counter() - started, content)
