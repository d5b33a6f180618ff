"""Dtypes other than float32 and float64: PyTorch's result, or a refusal; never other numbers without a word."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.nn import functional as F

UNARY = """neg exp expm1 log log1p sqrt rsqrt square reciprocal abs sign sin cos tanh sigmoid relu sum prod amax amin
    argmax argmin max min clone""".split()
BINARY = "add sub mul div pow maximum minimum matmul __eq__ __lt__".split()
NUMBER = "add sub mul div pow __eq__ __radd__ __rsub__ __rtruediv__".split()
WITH_DIM = {"cumsum": 0, "softmax": 0, "log_softmax": 0, "logsumexp": 0, "mean": 0, "var": 0, "std": 0, "sum": 0}
INTEGERS = ["uint8", "int8", "int16", "int32", "int64", "bool"]
LENIENT = "mean var std matmul sub __rsub__ pow abs relu argmax argmin".split()  # more is taken, and nothing is lost


def outcome(call):
    "the array that a call returns, or the error that it raises"
    try:
        out = call()
    except (TypeError, ValueError, RuntimeError, NotImplementedError, OverflowError) as error:
        return error
    return out.data if isinstance(out, Tensor) else out.detach().numpy()


def agree(ours, expected, name):
    if isinstance(ours, Exception) or name in LENIENT and isinstance(expected, Exception):
        return
    assert not isinstance(expected, Exception), f"PyTorch refuses ({expected}), ours is {ours!r}"
    assert ours.dtype == expected.dtype, f"{ours.dtype}, in PyTorch {expected.dtype}"
    np.testing.assert_allclose(ours, expected, rtol=2e-3 if ours.dtype == np.float16 else 1e-5, equal_nan=True)


def numbers(dtype, seed=0):
    few = np.random.default_rng(seed).integers(1, 6, (3, 3))
    return few % 2 == 0 if dtype == "bool" else few.astype(dtype)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
@pytest.mark.parametrize("dtype", [*INTEGERS, "float16"])
@pytest.mark.parametrize("name", [*UNARY, *WITH_DIM])
def test_one_input(name, dtype, torch):
    x, options = numbers(dtype), {"dim": WITH_DIM[name]} if name in WITH_DIM else {}
    agree(outcome(lambda: getattr(Tensor(x), name)(**options)),
          outcome(lambda: getattr(torch.tensor(x), name)(**options)), name)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
@pytest.mark.parametrize("dims", [True, False])
@pytest.mark.parametrize("other", [*INTEGERS, "float16", "float32", "float64"])
@pytest.mark.parametrize("dtype", [*INTEGERS, "float16", "float32"])
@pytest.mark.parametrize("name", BINARY)
def test_two_inputs(name, dtype, other, dims, torch):
    x, y = numbers(dtype), numbers(other, seed=1)
    y = y if dims else np.asarray(y[0, 0])
    agree(outcome(lambda: getattr(Tensor(x), name)(Tensor(y))),
          outcome(lambda: getattr(torch.tensor(x), name)(torch.tensor(y))), name)


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")
@pytest.mark.parametrize("number", [2, 2.5, True, -1])
@pytest.mark.parametrize("dtype", [*INTEGERS, "float16", "float32"])
@pytest.mark.parametrize("name", NUMBER)
def test_a_number(name, dtype, number, torch):
    x = numbers(dtype)
    agree(outcome(lambda: getattr(Tensor(x), name)(number)),
          outcome(lambda: getattr(torch.tensor(x), name)(number)), name)


@pytest.mark.parametrize("other", ["float64", "float32", "int64"])
def test_a_tensor_without_dims_makes_no_array_wider(other, torch):
    leaf, reference = Tensor(np.float32([1.5, 2.5]), requires_grad=True), torch.tensor([1.5, 2.5], requires_grad=True)
    single, single_reference = Tensor(np.array(2, other)), torch.tensor(2, dtype=getattr(torch, other))
    out, expected = (leaf * single).exp() + single, (reference * single_reference).exp() + single_reference
    out.sum().backward(), expected.sum().backward()
    assert out.dtype == np.float32 == leaf.grad.dtype
    np.testing.assert_allclose(leaf.grad, reference.grad, rtol=1e-6)


def test_a_flag_where_pytorch_has_a_flag(torch):
    x = np.float32([[1, 2, 4], [3, 3, 9]])
    for name in ("var", "std"):
        for flag in (True, False):
            assert np.isclose(getattr(Tensor(x), name)(flag).item(), getattr(torch.tensor(x), name)(flag).item())
    for name in ("sum", "amax", "prod", "logsumexp"):
        with pytest.raises(TypeError, match="dim: expected an int.*True"):
            getattr(Tensor(x), name)(True)


def test_the_larger_of_two_tensors(torch):
    x, y = np.float32([1, 5, 2]), np.float32([3, 4, 2])
    assert Tensor(x).max(Tensor(y)).tolist() == torch.tensor(x).max(torch.tensor(y)).tolist()
    assert Tensor(x).min(Tensor(y)).tolist() == torch.tensor(x).min(torch.tensor(y)).tolist()


@pytest.mark.parametrize("bounds", [(3.0,), (np.float32(3),), (np.float64(0), 1.0, 0.25), (np.int64(4),), (1, 4),
                                    (5, 0, -2)])
def test_arange(bounds, torch):
    ours, expected = tinytorch.arange(*bounds), torch.arange(*(getattr(b, "item", lambda b=b: b)() for b in bounds))
    assert ours.tolist() == expected.tolist() and str(ours.dtype) == str(expected.dtype).removeprefix("torch.")


# ---- half precision

HALF = {
    "softmax": (lambda f, x: x.softmax(-1), [60000.0, 60000.0, 1.0, -60000.0]),
    "log_softmax": (lambda f, x: x.log_softmax(-1), [60000.0, 60000.0, 1.0, -5.0]),
    "logsumexp": (lambda f, x: x.logsumexp(-1), [11.0, 12.0, 11.5, 3.0]),
    "std": (lambda f, x: x.std(), [300.0, 400.0, 500.0, 60000.0]),
    "mean": (lambda f, x: x.mean(), [60000.0, 60000.0, 50000.0, 60000.0]),
    "layer_norm": (lambda f, x: f.layer_norm(x, (4,)), [300.0, 400.0, 500.0, 60000.0]),
    "rms_norm": (lambda f, x: f.rms_norm(x, (4,), eps=1e-5), [300.0, 400.0, 500.0, 600.0]),
    "cross_entropy": (lambda f, x: f.cross_entropy(x[None], (x[:1] * 0).long()), [300.0, -400.0, 500.0, 600.0]),
    "sigmoid": (lambda f, x: x.sigmoid(), [12.0, -12.0, 0.5, 60000.0]),
    "gelu": (lambda f, x: f.gelu(x), [12.0, -12.0, 0.5, 600.0]),
}


@pytest.mark.parametrize("name", HALF)
def test_half_precision_is_computed_in_float32(name, torch):
    call, given = HALF[name]
    leaf, reference = Tensor(np.float16(given), requires_grad=True), torch.tensor(given, requires_grad=True)
    out, expected = call(F, leaf), call(torch.nn.functional, reference)
    weights = np.linspace(0.5, 2, out.numel(), dtype=np.float32).reshape(out.shape)
    out.backward(weights), expected.backward(torch.tensor(weights))
    assert out.dtype == leaf.grad.dtype == np.float16
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(out.data, expected.detach().numpy().astype(np.float16), rtol=2e-3, atol=1e-6)
        np.testing.assert_allclose(leaf.grad, reference.grad.numpy().astype(np.float16), rtol=1e-2, atol=1e-3)


def test_ties_of_half_precision_share_all_of_the_gradient():
    x = Tensor(np.ones(100_000, np.float16), requires_grad=True)
    (x.amax() * 50_000).backward()
    assert np.allclose(x.grad, 0.5, rtol=1e-3)


def test_half_precision_beside_float32_is_float32():
    x, weight = Tensor(np.float16([[300, 400, 500, 60000]])), Tensor(np.ones(4, np.float32))
    out = F.layer_norm(x, 4, weight)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.data, F.layer_norm(x.float(), 4, weight).data, rtol=1e-6)
    assert (x * weight).dtype == np.float32 and x.to(np.float32).dtype == np.float32


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_no_optimizer_takes_steps_in_half_precision(name):
    model = nn.Linear(3, 2)
    optimizer = getattr(tinytorch.optim, name)(model.parameters(), lr=0.1)
    model.to(np.float16)
    model(Tensor(np.ones((2, 3), np.float16))).sum().backward()
    before = model.weight.data.copy()
    with pytest.raises(TypeError, match=f"{name}.*float16.*float32"):
        optimizer.step()
    assert np.array_equal(model.weight.data, before)


@pytest.mark.parametrize("name", ["mean", "var", "std"])
@pytest.mark.parametrize("numbers", [[1, 2], [True, False]], ids=["integers", "booleans"])
def test_means_of_integers_are_refused_as_in_pytorch(name, numbers, torch):
    with pytest.raises(TypeError, match=rf"{name}: expected a tensor of floats, got (int64|bool); use .float\(\)"):
        getattr(tinytorch.tensor(numbers), name)()
    with pytest.raises(RuntimeError):
        getattr(torch.tensor(numbers), name)()
