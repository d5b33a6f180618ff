"""The suite itself: what makes it slow, or red, on a machine that is busy with other things."""
import os
import subprocess
import sys

import hypothesis


def test_a_product_has_one_thread_here_and_in_processes_that_a_test_starts(torch):
    assert torch.get_num_threads() == 1 and os.environ["OPENBLAS_NUM_THREADS"] == "1"
    there = subprocess.run([sys.executable, "-c", "import torch; print(torch.get_num_threads())"], capture_output=True)
    assert there.stdout.strip() == b"1", there


def test_an_example_may_take_its_time():
    profile = hypothesis.settings()
    assert profile.deadline is None and hypothesis.HealthCheck.too_slow in profile.suppress_health_check
