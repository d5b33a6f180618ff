"""What the tests of milestones share: NumPy's fast forms, the texts, and a script that is killed while it trains."""
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tinytorch import fast


@pytest.fixture(scope="module", autouse=True)
def fast_forms():
    "NumPy's forms, here and in processes that a test starts: what is learned depends on none, and takes less time."
    with pytest.MonkeyPatch.context() as patch, fast.use("numpy"):
        patch.setenv("TINYTORCH_FAST", "numpy")
        yield


@pytest.fixture(scope="session")
def both_texts():
    "Skips where a text is not on this machine; in CI that is a failure."
    folder = Path(os.environ.get("TINYTORCH_DATA") or "/nowhere")
    if not ((folder / "tinyshakespeare.txt").exists() and list(folder.glob("tinystories-*.txt"))):
        text = "needs tinyshakespeare.txt and tinystories-900.txt in the folder TINYTORCH_DATA"
        pytest.fail(text) if os.environ.get("CI") else pytest.skip(text)


PROGRAM = """
import os, signal, sys
import {name} as script

left = {saves}

def watch(event, arguments):
    global left
    if event == "os.rename" and os.fspath(arguments[1]).endswith({checkpoint!r}):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(watch)
{shorter}
raise SystemExit(script.main())
"""


@pytest.fixture
def killed_and_resumed(tmp_path):
    """(folder of a run that nothing touched, folder of one that was killed and went on, what that printed) of a script.

    `shorter` is code that shortens it. It is killed right before its second checkpoint: no clock chooses the moment.
    """
    def call(path, *arguments, shorter="", checkpoint="last.safetensors"):
        def run(*arguments, saves=0):
            program = PROGRAM.format(name=path.stem, saves=saves, checkpoint=checkpoint, shorter=shorter)
            search = os.pathsep.join([str(path.parent), os.environ.get("PYTHONPATH", "")])
            return subprocess.run([sys.executable, "-c", program, *map(str, arguments)], cwd=tmp_path, text=True,
                                  capture_output=True, env=os.environ | {"PYTHONPATH": search})

        whole, killed = (tmp_path / "runs" / f"{path.stem}-00{number}" for number in (1, 2))
        untouched = run(*arguments)
        assert untouched.returncode in (0, 1) and "Traceback" not in untouched.stderr, untouched
        died = run(*arguments, saves=2)
        assert died.returncode == -signal.SIGKILL, died
        again = run("--resume", killed)
        assert again.returncode == untouched.returncode, again
        return whole, killed, again.stdout
    return call
