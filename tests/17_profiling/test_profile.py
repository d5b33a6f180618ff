"""profile: what it reports, what it leaves alone, and that watching changes nothing."""
import gc
import time
import tracemalloc

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn, no_grad
from tinytorch.nn import functional as F
from tinytorch.ops.elementwise import Function
from tinytorch.profiling import Leaks, Profile, Scales, Stopwatch, label
from tinytorch.state import observed_by, thread
from tinytorch.tensor import apply


class Waits(Function):
    "x * 2, slowly: 10 ms forward, 5 ms backward, and 8 MB that nobody needs"
    def forward(self, x):
        time.sleep(0.01)
        np.ones(1_000_000)
        return x * 2

    def backward(self, grad):
        time.sleep(0.005)
        return (grad * 2,)


def mlp():
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))


def batch():
    rng = np.random.default_rng(0)
    return Tensor(rng.standard_normal((32, 8), dtype=np.float32)), Tensor(rng.integers(4, size=32))


def loss_fn(model, x, targets):
    return F.cross_entropy(model(x), targets)


def test_rows_count_calls_and_are_sorted_by_cost():
    found = tinytorch.profile(mlp(), batch(), loss_fn, steps=3)
    assert isinstance(found, Profile)
    calls = {row.name: row.calls for row in found.rows}
    assert calls == {"Linear": 2, "Tanh": 1, "CrossEntropy": 1}
    costs = [row.forward + row.backward for row in found.rows]
    assert costs == sorted(costs, reverse=True) and min(costs) > 0
    assert found.step > sum(costs) and found.between() == pytest.approx(found.step - sum(costs))


def test_milliseconds_and_bytes_go_to_the_operation_that_used_them():
    x = Tensor(np.ones(1000, np.float32), requires_grad=True)
    rows = {row.name: row for row in tinytorch.profile(lambda x: apply(Waits(), x).sum(), x, steps=2).rows}
    waits = rows["Waits"]
    assert 10 <= waits.forward and 5 <= waits.backward and waits.forward > rows["Sum"].forward
    assert 8_000_000 <= waits.allocated < 8_100_000, "what was allocated in passing counts"
    assert 4000 <= waits.saved < 10_000, "what is saved is the result, 1000 float32"
    assert rows["Sum"].allocated < 20_000


def test_saved_includes_what_backward_will_need():
    x = Tensor(np.ones(100_000, np.float32), requires_grad=True)
    rows = {row.name: row for row in tinytorch.profile(lambda x: F.gelu(x, approximate="tanh"), x, steps=1).rows}
    assert rows["TanhGelu"].saved == pytest.approx(2 * 400_000, rel=0.02), "the value, and the slope"


def test_the_table_has_a_line_for_each_row_and_the_sums():
    found = tinytorch.profile(mlp(), batch(), loss_fn, steps=2)
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[2:]] == [row.name for row in found.rows] + ["all", "between", "step"]
    assert len({len(line) for line in lines[:-2]}) == 1, "columns should line up"
    assert lines[-1].split()[-1] == "100.0" and lines[-3].split()[1] == str(sum(row.calls for row in found.rows))


def test_without_a_loss_ones_walk_back_and_without_a_graph_nothing_does():
    model, (x, _) = mlp(), batch()
    assert all(row.backward > 0 for row in tinytorch.profile(model, x, steps=1).rows)
    with_targets = tinytorch.profile(model, batch(), steps=1)
    assert [row.name for row in with_targets.rows].count("CrossEntropy") == 0, "the targets are for a loss_fn"
    with no_grad():
        assert all(row.backward == 0 < row.forward for row in tinytorch.profile(model, x, steps=1).rows)


def test_parameters_and_gradients_are_left_as_they_were():
    model, (x, targets) = mlp(), batch()
    x.requires_grad = True
    loss_fn(model, x, targets).backward()
    model[0].bias.grad = None
    before = [(t.data.copy(), t.grad, None if t.grad is None else t.grad.data.copy()) for t in (*model.parameters(), x)]
    tinytorch.profile(model, (x, targets), loss_fn, steps=2)
    for tensor, (data, gradient, numbers) in zip((*model.parameters(), x), before):
        assert np.array_equal(tensor.data, data) and tensor.grad is gradient
        assert gradient is None or np.array_equal(gradient, numbers)


@pytest.mark.parametrize("fails", ["forward", "backward"])
def test_an_error_passes_through_and_nothing_stays_on(fails):
    class Breaks(Function):
        def forward(self, x):
            if fails == "forward":
                raise ValueError("no")
            return x * 1

        def backward(self, grad):
            raise KeyError("no")

    x = Tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError if fails == "forward" else KeyError):
        tinytorch.profile(lambda x: apply(Breaks(), x), x)
    assert thread.observer is None and not tracemalloc.is_tracing() and x.grad is None


def test_steps_must_be_at_least_one():
    with pytest.raises(ValueError, match="1 .*0"):
        tinytorch.profile(mlp(), batch()[0], steps=0)


def test_somebody_elses_tracing_goes_on():
    tracemalloc.start()
    try:
        tinytorch.profile(mlp(), batch()[0], steps=1)
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


# ---- observers

@pytest.mark.parametrize("observer", [Stopwatch, Scales, Leaks])
def test_watching_changes_no_number(observer):
    model, (x, targets) = mlp(), batch()

    def numbers():
        model.zero_grad()
        loss = loss_fn(model, x, targets)
        loss.backward()
        return [loss.data, *(p.grad.data for p in model.parameters())]

    expected = numbers()
    tracemalloc.start()
    try:
        with observed_by(observer()):
            found = numbers()
    finally:
        tracemalloc.stop()
    assert all(np.array_equal(a, b) for a, b in zip(expected, found))


def test_an_observer_sees_each_half_once_in_order_with_its_arrays():
    seen = []

    def note(half, *arrays):
        seen.append((*label(half), [np.shape(a) for a in arrays]))
        return half(*arrays)

    x = Tensor(np.ones((2, 3)), requires_grad=True)
    with observed_by(note):
        (x * 2).sum().backward()
    (x * 2).sum().backward()
    assert seen == [("Mul", "forward", [(2, 3), ()]), ("Sum", "forward", [(2, 3)]),
                    ("Sum", "backward", [()]), ("Mul", "backward", [(2, 3)])]


def test_observers_nest_and_end_with_their_block():
    def refuse(half, *arrays):
        raise RuntimeError(label(half)[0])

    outer = Stopwatch()
    with observed_by(outer):
        with pytest.raises(RuntimeError, match="Exp"), observed_by(refuse):
            tinytorch.ones(2).exp()
        assert thread.observer is outer
        tinytorch.ones(2).log()
    assert thread.observer is None and set(outer.seconds) == {("Log", "forward")}


def test_errors_of_an_operation_read_the_same_under_an_observer():
    told = []
    for observer in (None, Stopwatch()):
        with observed_by(observer), pytest.raises(ValueError) as raised:
            tinytorch.ones(2) + tinytorch.ones(3)
        told.append([str(raised.value), *raised.value.__notes__])
    assert told[0] == told[1] and "(2,), (3,)" in told[0][-1]


def test_leaks_are_found_in_both_halves_and_only_at_their_source():
    class Leaky(Function):
        def __init__(self, half):
            self.half = half

        def forward(self, x):
            return x * np.float64(2) if self.half == "forward" else x * 2

        def backward(self, grad):
            return (grad * np.float64(2),) if self.half == "backward" else (grad * 2,)

    for half in ("forward", "backward"):
        x = Tensor(np.ones(3, np.float32), requires_grad=True)
        with observed_by(Leaks()) as leaks:
            (apply(Leaky(half), x.exp()) * 3).sum().backward()
        assert leaks.found == [("Leaky", half)]


def test_profiling_leaves_no_graph_behind():
    def operations():
        gc.collect()
        return {id(thing) for thing in gc.get_objects() if issubclass(type(thing), Function)}

    model, (x, targets) = mlp(), batch()
    before = operations()
    tinytorch.profile(model, (x, targets), loss_fn, steps=2)
    assert operations() <= before
