"""The suites of chapters 01 to 14 pass where there are 32 bits, and neither threads nor processes: as in a browser."""
import re
from pathlib import Path

import pytest

# A computer that never did it compiles Python for a minute; the rest takes seven minutes of a processor.
pytestmark = pytest.mark.slow
SUITES = """
import os, sys
import pytest
chosen = [f"tests/{name}" for name in sorted(os.listdir("tests")) if name[:2] in sys.argv[1].split()]
options = "-q -rs --tb=short -p no:cacheprovider -p no:faulthandler --capture=sys"
sys.exit(pytest.main([*options.split(), *chosen]))
"""
STUDENT = Path(__file__).with_name("student.py").read_text(encoding="utf-8")
SKIPPED_FOR = re.compile("parity tests need|tensorboardX|(and|for) this platform|as POSIX systems do|sends itself")


def run_suites(guest, *numbers):
    "Run the suites of these chapters; returns how many tests passed, after a look at why others were skipped."
    status, said = guest.run(SUITES, " ".join(numbers))
    assert status == 0, said
    reasons = re.findall(r"^SKIPPED \[\d+\] \S+ (.*)", said, re.MULTILINE)
    assert not [reason for reason in reasons if not SKIPPED_FOR.search(reason)], said
    return int(re.search(r"(\d+) passed", said)[1])


def solved(guest, numbers, *more):
    "Let the automated student go through these chapters; return what was printed, after a look at each."
    status, said = guest.run(STUDENT, *numbers.split(), *more)
    assert status == 0, said
    done = r"^(\d\d)_\w+: cell \d+ is the first exercise; [1-9]\d* failed, then [1-9]\d* passed"
    assert re.findall(done, said, re.MULTILINE) == numbers.split(), said
    return said


def test_what_the_automated_student_wrote_reverses_digits(guest):
    said = solved(guest, "10 11 12 13 14", "--milestone", "reversal")
    assert "LEARNED: every criterion is met." in said and "NOT LEARNED" not in said, said


def test_it_has_32_bits_and_no_threads(guest):
    code = ("import sys, numpy as np, threading; print(sys.platform, np.dtype(np.intp).itemsize)\n"
            "try: threading.Thread(target=print).start()\nexcept RuntimeError as error: print(error)")
    status, said = guest.run(code)
    assert status == 0 and said.startswith("wasi 4\n") and "can't start" in said, said


def test_integers_have_the_width_that_pytorch_gives_them(guest):
    code = ("import numpy as np, tinytorch as torch\n"
            "for x in (torch.tensor([1, 2]), torch.tensor(3), torch.arange(4), torch.full((2,), 7),"
            " torch.zeros(2).long(), torch.randint(0, 9, (3,))): assert x.dtype == np.int64, x\n"
            "assert torch.tensor(np.array([1, 2], np.int32)).dtype == np.int32\n"
            "for dtype in (np.int8, np.uint8, np.int16, np.int32, np.int64):\n"
            "    index = torch.tensor(np.array([2, 0], dtype))\n"
            "    assert torch.arange(3)[index].tolist() == [2, 0] and index.bincount().tolist() == [1, 0, 1]")
    assert guest.run(code) == (0, "")


def test_what_needs_threads_says_so(guest):
    code = ("import tinytorch.ranks, tinytorch.threads, tinytorch as torch\n"
            "for start in (lambda: tinytorch.ranks.run_threads(2, print), lambda:"
            " tinytorch.threads.shared_gradients(None, torch.nn.Linear(1, 1), [], None, 2)):\n"
            "    try: start()\n    except RuntimeError as error: print(error)")
    status, said = guest.run(code)
    assert status == 0 and said.count("starts no threads") == 2, said


@pytest.mark.parametrize("numbers", ["01 02 03 04", "05 06 07 08", "09"])
def test_the_automated_student_solves_chapters(guest, numbers):
    solved(guest, numbers)


@pytest.mark.parametrize("numbers, least", [
    ("01 02 03 04", 50), ("05 07", 200), ("06", 50), ("08", 50), ("09", 50), ("10 11 12", 50), ("13 14", 50)])
def test_every_suite(guest, numbers, least):
    assert run_suites(guest, *numbers.split()) > least
