"""Each thread has its own switches; a generator or an async function under `no_grad` keeps the switch to itself."""

import asyncio
import threading

import numpy as np
from platforms import needs_event_loop, needs_threads

import tinytorch
from tinytorch import Tensor, enable_grad, is_grad_enabled, no_grad
from tinytorch.state import observed_by


def in_a_thread(function):
    results = []
    thread = threading.Thread(target=lambda: results.append(function()))
    thread.start()
    thread.join()
    return results[0]


@needs_threads
def test_no_grad_stays_in_its_thread():
    with no_grad():
        assert in_a_thread(is_grad_enabled)
        inside = threading.Event(), threading.Event()

        def record():
            with enable_grad():
                inside[0].set()
                inside[1].wait(10)
                return is_grad_enabled()

        thread = threading.Thread(target=record)
        thread.start()
        assert inside[0].wait(10) and not is_grad_enabled()
        inside[1].set()
        thread.join()
    assert is_grad_enabled()


@needs_threads
def test_dtype_and_generator_are_the_threads_own():
    tinytorch.set_default_dtype(np.float64)
    try:
        assert in_a_thread(lambda: Tensor(1.0).dtype) == np.float32
    finally:
        tinytorch.set_default_dtype(np.float32)
    tinytorch.manual_seed(3)
    expected = tinytorch.rand(4).tolist()
    tinytorch.manual_seed(3)
    in_a_thread(lambda: (tinytorch.manual_seed(5), tinytorch.rand(100)))
    assert tinytorch.rand(4).tolist() == expected
    assert in_a_thread(lambda: (tinytorch.manual_seed(3), tinytorch.rand(4).tolist())[1]) == expected


@needs_threads
def test_an_observer_hears_its_own_thread_only():
    def square():
        return (Tensor([2.0]) * 3).item()

    def listening(halves):
        def observer(half, *arrays):
            halves.append(half.__name__)
            return half(*arrays)
        return observed_by(observer)

    here, there = [], []
    with listening(here):
        assert in_a_thread(square) == 6 and here == []

        def listened():
            with listening(there):
                return square()

        assert in_a_thread(listened) == 6 and (here, there) == ([], ["forward"])
        square()
    assert (here, there) == (["forward"], ["forward"])


def test_a_generator_records_nothing_and_lets_others_record():
    @no_grad()
    def numbers():
        "counts, and says what was sent"
        got = yield is_grad_enabled()
        while got is not None:
            try:
                got = yield got, is_grad_enabled()
            except KeyError:
                got = yield "caught", is_grad_enabled()
        return "end"

    def outer():
        assert (yield from numbers()) == "end"

    generator = outer()
    assert next(generator) is False and is_grad_enabled()
    assert generator.send(5) == (5, False) and is_grad_enabled()
    assert generator.throw(KeyError()) == ("caught", False) and is_grad_enabled()
    assert list(generator) == [] and is_grad_enabled()


@needs_event_loop
def test_an_async_function_records_nothing_and_lets_others_record():
    @no_grad()
    async def quiet():
        before = is_grad_enabled()
        await asyncio.sleep(0)
        return before, is_grad_enabled()

    async def both():
        task = asyncio.ensure_future(quiet())
        seen = []
        for _ in range(3):
            await asyncio.sleep(0)
            seen.append(is_grad_enabled())
        return await task, seen

    assert asyncio.run(both()) == ((False, False), [True] * 3)


def test_enable_grad_inside_of_no_grad_in_a_decorated_function():
    @no_grad()
    def inner(x):
        with enable_grad():
            return (x * 2).requires_grad, (x * 2).requires_grad and is_grad_enabled()

    assert inner(Tensor(1.0, requires_grad=True)) == (True, True)
