"""Activations: values far out, slopes, layouts, dtypes."""
import numpy as np
import pytest

from tinytorch import Tensor, no_grad
from tinytorch.gradcheck import GradientError, check_function
from tinytorch.nn.activations import (
    GELU,
    ErfGelu,
    LeakyReLU,
    LogSigmoid,
    LogSoftmax,
    ReLU,
    ReluSquared,
    Sigmoid,
    SiLU,
    SiLUFunction,
    Softmax,
    Softplus,
    SoftplusFunction,
    Tanh,
    TanhGelu,
    erf,
    gelu,
    leaky_relu,
    log_softmax,
    logsigmoid,
    relu,
    relu_squared,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)

OPERATIONS = [TanhGelu, ErfGelu, SiLUFunction, ReluSquared, SoftplusFunction,
              lambda: SoftplusFunction(beta=3.0, threshold=100.0)]
FUNCTIONS = {
    "gelu": gelu, "gelu tanh": lambda x: gelu(x, approximate="tanh"), "silu": silu, "relu": relu, "sigmoid": sigmoid,
    "tanh": tanh, "relu_squared": relu_squared, "softplus": softplus,
    "softplus beta": lambda x: softplus(x, beta=2.0, threshold=5.0),
    "logsigmoid": logsigmoid, "leaky_relu": leaky_relu, "softmax": lambda x: softmax(x, dim=1),
    "log_softmax": lambda x: log_softmax(x, dim=0)}


@pytest.mark.parametrize("make", OPERATIONS)
@pytest.mark.parametrize("seed", range(3))
def test_slopes_are_those_of_finite_differences(make, seed):
    check_function(make, np.random.default_rng(seed).standard_normal((5, 4)) * 3, seed=seed)


def test_the_check_rejects_a_slope_that_forgets_the_inner_derivative():
    class Forgetful(TanhGelu):
        def forward(self, x):
            self.x = x
            return super().forward(x)

        def backward(self, grad):
            t = np.tanh(0.7978845608 * (self.x + 0.044715 * self.x ** 3))
            return (grad * 0.5 * (1 + t + (1 - t * t) * self.x * 0.7978845608),)

    with pytest.raises(GradientError, match="Forgetful"):
        check_function(Forgetful, np.random.default_rng(0).standard_normal((3, 4)))


@pytest.mark.parametrize("make", OPERATIONS)
def test_size_layout_and_repetition_make_no_difference(make):
    x = np.random.default_rng(0).standard_normal(70_000).astype(np.float32)
    kept, operation = x.copy(), make()
    value = operation.forward(x)
    gradient = np.full_like(x, 2.0)
    slope, again = operation.backward(gradient)[0], operation.backward(gradient)[0]
    pieces = [make().forward(part) for part in np.array_split(x, 5)]
    np.testing.assert_allclose(value, np.concatenate(pieces), atol=1e-6)
    np.testing.assert_array_equal(slope, again)
    np.testing.assert_array_equal(x, kept)
    assert value.dtype == slope.dtype == np.float32 and (gradient == 2).all() and not np.shares_memory(value, x)
    view = x[:600].reshape(20, 30).T[::2]
    np.testing.assert_allclose(make().forward(view), value[:600].reshape(20, 30).T[::2], atol=1e-6)


@pytest.mark.parametrize("make", OPERATIONS)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_scalars_and_empty_arrays(make, shape):
    operation, x = make(), np.full(shape, 0.5)
    assert operation.forward(x).shape == operation.backward(np.ones(shape))[0].shape == shape


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_is_recorded_where_nobody_asks(name):
    x = Tensor([[1.0, -2.0]], requires_grad=True)
    assert FUNCTIONS[name](x).requires_grad and not FUNCTIONS[name](x.detach()).requires_grad
    with no_grad():
        assert not FUNCTIONS[name](x).requires_grad


@pytest.mark.parametrize("name", ["gelu", "gelu tanh", "silu", "relu_squared", "softplus", "logsigmoid",
                                  "leaky_relu"])
def test_integers_are_refused(name):
    with pytest.raises(TypeError, match="int64"):
        FUNCTIONS[name](Tensor([1, 2]))


def test_gelu_names_its_choices():
    with pytest.raises(ValueError, match="erf"):
        gelu(Tensor([1.0]), approximate="erf")


def test_softplus_is_the_input_above_the_threshold_of_beta_times_it():
    x = Tensor(np.array([0.4, 0.6, 5.0]), requires_grad=True)
    y = softplus(x, beta=2.0, threshold=1.0)
    y.sum().backward()
    np.testing.assert_allclose(y.data, [np.log(1 + np.exp(0.8)) / 2, 0.6, 5.0], rtol=1e-12)
    np.testing.assert_allclose(x.grad.data, [1 / (1 + np.exp(-0.8)), 1, 1], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("f, values, slopes", [
    (leaky_relu, [-20, -0.01, 0, 3, 2000], [0.01, 0.01, 0.01, 1, 1]),
    (lambda x: leaky_relu(x, -0.5), [1000, 0.5, 0, 3, 2000], [-0.5, -0.5, -0.5, 1, 1]),
    (logsigmoid, [-2000, -np.log(1 + np.e), -np.log(2), -np.log(1 + np.exp(-3)), 0],
     [1, 1 / (1 + np.exp(-1)), 0.5, 1 / (1 + np.exp(3)), 0])])
def test_leaky_relu_and_logsigmoid_in_numbers(f, values, slopes, dtype):
    x = Tensor(np.array([-2000, -1, 0, 3, 2000], dtype), requires_grad=True)
    y = f(x)
    y.sum().backward()
    np.testing.assert_allclose(y.data, values, rtol=1e-6)
    np.testing.assert_allclose(x.grad.data, slopes, rtol=1e-6)
    assert y.dtype == x.grad.dtype == dtype


def test_erf_is_exact_in_float64_and_right_to_float32():
    import math
    z = np.linspace(-6, 6, 2001)
    exact = np.array([math.erf(v) for v in z])
    np.testing.assert_allclose(erf(z), exact, rtol=1e-15)
    assert np.abs(erf(z.astype(np.float32)) - exact).max() < 4e-7
    assert erf(z.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_far_out_values_stay_finite_and_quiet(name, dtype):
    x = Tensor(np.array([[-1e4, -100, -30, 0, 30, 100, 1e4]], dtype), requires_grad=True)
    with np.errstate(all="raise", under="ignore"):
        y = FUNCTIONS[name](x)
        y.sum().backward()
    assert np.isfinite(y.data).all() and np.isfinite(x.grad.data).all() and y.dtype == x.grad.dtype == dtype


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 3e-6)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients_are_pytorchs(torch, name, dtype, tolerance):
    F = torch.nn.functional
    theirs = {
        "gelu": F.gelu, "gelu tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "relu": F.relu,
        "relu_squared": lambda x: F.relu(x) ** 2,
        "sigmoid": F.sigmoid, "tanh": F.tanh, "softplus": F.softplus,
        "softplus beta": lambda x: F.softplus(x, beta=2.0, threshold=5.0), "logsigmoid": F.logsigmoid,
        "leaky_relu": F.leaky_relu, "softmax": lambda x: F.softmax(x, dim=1),
        "log_softmax": lambda x: F.log_softmax(x, dim=0)}
    rng = np.random.default_rng(0)
    array = (rng.standard_normal((40, 30)) * 4).astype(dtype)
    array[0] = np.linspace(-60, 60, 30)
    gradient = rng.standard_normal(array.shape).astype(dtype)
    x, t = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
    y, expected = FUNCTIONS[name](x), theirs[name](t)
    y.backward(gradient)
    expected.backward(torch.tensor(gradient))
    assert np.abs(x.grad.data).max() > 0.1
    np.testing.assert_allclose(y.data, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(x.grad.data, t.grad.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("module, function", [
    (ReLU(), relu), (Sigmoid(), sigmoid), (Tanh(), tanh), (SiLU(), silu), (GELU(), gelu), (Softplus(), softplus),
    (GELU("tanh"), FUNCTIONS["gelu tanh"]), (Softplus(2.0, 5.0), FUNCTIONS["softplus beta"]),
    (LogSigmoid(), logsigmoid), (LeakyReLU(0.3), lambda x: leaky_relu(x, 0.3)), (Softmax(1), FUNCTIONS["softmax"]),
    (LogSoftmax(0), FUNCTIONS["log_softmax"])])
def test_modules_hand_their_options_on(module, function):
    x = Tensor(np.random.default_rng(0).standard_normal((4, 5)) * 3)
    np.testing.assert_array_equal(module(x).data, function(x).data)
    assert not np.array_equal(module(x).data, x.data) and list(module.parameters()) == []
