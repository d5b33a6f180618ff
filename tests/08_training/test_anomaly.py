"""Where an inf or a nan came from: the operation, the place in the code, and the inputs that made it."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.anomaly import Call, first_nonfinite, path_to_origin
from tinytorch.nn import functional as F
from tinytorch.state import observed_by

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def numbers(*values):
    return Tensor(np.array(values, np.float32), requires_grad=True)


CASES = {
    "log of zero": (lambda: numbers(0, 1).log().sum(), "Log.forward"),
    "log of a negative number": (lambda: (numbers(1, 2) - 3).log().sum(), "Log.forward"),
    "overflow": (lambda: ((numbers(1, 89) * 1).exp() * 1).mean(), "Exp.forward"),
    "division": (lambda: (numbers(0, 1) / numbers(0, 1)).mean(), "Div.forward"),
    "square root": (lambda: (numbers(1, 2) - 2).sqrt().mean(), "Sqrt.forward"),
    "sum": (lambda: (numbers(3e38, 3e38).sum() * 1).log(), "Sum.forward"),
    "matrix product": (lambda: (numbers(3e38, 3e38) @ numbers(2, 2)).mean(), "MatMul.forward"),
    "softmax of a row that is masked as a whole": (
        lambda: numbers(1, 2).masked_fill(Tensor([True, True]), float("-inf")).softmax(dim=0).sum(), "Where.forward"),
    "a mask on the way is not to blame": (
        lambda: (numbers(1, 2).masked_fill(Tensor([True, False]), float("-inf")).softmax(dim=0).log() * 0).sum(),
        "Log.forward"),
    "gradient of a square root": (lambda: (numbers(0, 1) * 2).sqrt().sum().backward(), "Sqrt.backward"),
    "gradient of a norm": (lambda: (numbers(0, 0) ** 2).sum().sqrt().backward(), "Sqrt.backward"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_names_the_operation_and_the_line(name):
    run, operation = CASES[name]
    text = first_nonfinite(run)
    assert text.startswith(f"{operation} at test_anomaly.py:"), text


def test_where_it_became_nan_is_told_too():
    text = first_nonfinite(lambda: (numbers(1, 89).exp() - numbers(1, 89).exp()).sum())
    first, then = text.split("; then ")
    assert first.startswith("Exp.forward") and "1 inf from inputs (float32 2, 1 to 89)" in first
    assert then.startswith("Sub.forward") and "1 nan from inputs" in then


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_parameter_that_was_bad_before_is_named(value):
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
    model[2].weight.data[1, 1] = value
    text = first_nonfinite(lambda: F.mse_loss(model(numbers(1, 2)), numbers(1, 2)), dict(model.named_parameters()))
    assert text.startswith("Linear") and f"2.weight: float32 2x3, 1 {'nan' if value != value else 'inf'}" in text


def test_nothing_to_tell_and_nothing_left_behind():
    assert first_nonfinite(lambda: numbers(1, 2).sum()) is None
    assert first_nonfinite(lambda: tinytorch.zeros(0).sum()) is None
    halves = []

    def outer(half, *arrays):
        halves.append(half.__name__)
        return half(*arrays)

    with observed_by(outer):
        with pytest.raises(KeyError):
            first_nonfinite(lambda: {}["x"])
        numbers(1, 2).sum().backward()
    assert halves == ["forward", "backward"], "the observer of before is back, also after an error"

    def stops():
        numbers(0.0).log()
        raise FloatingPointError("seen already")
    assert first_nonfinite(stops).startswith("Log.forward")


def test_a_composed_model_points_into_its_own_code():
    class Attention(nn.Module):
        def forward(self, x):
            return (x @ x.T * 1e30).softmax(dim=-1) @ x

    model = Attention()
    text = first_nonfinite(lambda: model(Tensor(np.full((2, 2), 1e10, np.float32))).sum())
    line = Attention.forward.__code__.co_firstlineno + 1
    assert text.startswith(f"Mul.forward at test_anomaly.py:{line} gave float32 2x2, 4 inf"), text


def test_of_two_calls_that_gave_one_array_the_first_is_the_origin():
    a, b = np.full(2, np.inf), np.full(2, np.inf)
    first, again = Call(None, "forward", [], [a], "1"), Call(None, "forward", [a], [a], "2")
    last = Call(None, "forward", [a], [b], "3")
    found = path_to_origin([first, again, last])
    assert len(found) == 2 and found[0] is last and found[1] is first
