"""A few calls, counted by hand; a failure names the mistake that would give what it got."""

import time

import numpy as np

from tinytorch.ops.elementwise import Function
from tinytorch.profiling import Leaks, Stopwatch


class Nap(Function):
    def forward(self, x):
        time.sleep(0.01)
        return x

    def backward(self, grad):
        return (np.float64(2.0) * grad.astype(np.float64),)


def test_the_stopwatch_adds_up_and_hands_results_on():
    watch, operation = Stopwatch(), Nap()
    results = [watch(operation.forward, n) for n in (1, 2, 3)]
    assert results == [1, 2, 3], f"an observer must return what half(*arrays) returns, got {results}"
    seconds = watch.seconds["Nap", "forward"]
    assert seconds >= 0.029, f"three calls of 0.01 s must be added up, got {seconds:.3f} s: = where it should be +="
    assert seconds < 10, f"a difference of two times, not the time itself: got {seconds:.0f} s"


def test_culprits_and_victims():
    leaks, operation = Leaks(), Nap()
    leaks(operation.forward, np.ones(1))
    assert not leaks.found, "it got float64 already: a victim, not a culprit"
    leaks(operation.forward, np.ones(1, np.float32))
    assert not leaks.found, "nothing became float64 here"
    result = leaks(operation.backward, np.ones(1, np.float32))
    assert leaks.found == [("Nap", "backward")], f"float32 became float64 in Nap.backward, noted was {leaks.found}"
    assert isinstance(result, tuple), "an observer must return what half(*arrays) returns"
