"""LayerNorm and RMSNorm: values, hand-derived gradients, and what they leave unchanged."""
import numpy as np
import pytest

from tinytorch import Tensor
from tinytorch.gradcheck import GradientError, check_function, gradcheck
from tinytorch.nn.normalization import (
    LayerNorm,
    LayerNormFunction,
    RMSNorm,
    RMSNormFunction,
    layer_norm,
    rms_norm,
)


def random(*shape, seed=0, requires_grad=False):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad)


def composed_layer_norm(x, weight, bias, eps=1e-5):
    deviation = x - x.mean(-1, keepdim=True)
    return deviation * (deviation.square().mean(-1, keepdim=True) + eps).rsqrt() * weight + bias


def composed_rms_norm(x, weight, eps=1e-5):
    return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * weight


# ---- gradients


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape, dims", [
    ((3, 5), 1), ((5,), 1), ((2, 3, 4), 1), ((2, 3, 4), 2), ((2, 3), 2), ((4, 1), 1)])
@pytest.mark.parametrize("operation, inputs", [
    (LayerNormFunction, 1), (LayerNormFunction, 2), (LayerNormFunction, 3), (RMSNormFunction, 1), (RMSNormFunction, 2)])
def test_gradients_are_those_of_finite_differences(operation, inputs, shape, dims, seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(shape) * 2 + 1] + [rng.standard_normal(shape[-dims:]) for _ in range(inputs - 1)]
    absent = [None] * ((3 if operation is LayerNormFunction else 2) - inputs)  # no weight, no bias
    check_function(lambda: operation(dims, eps=0.1), *arrays, *absent, seed=seed)


@pytest.mark.parametrize("fused, composed, affine", [
    (layer_norm, composed_layer_norm, 2), (rms_norm, composed_rms_norm, 1)])
def test_fused_and_composed_agree_in_value_and_gradient(fused, composed, affine):
    cotangent = np.random.default_rng(9).standard_normal((500, 7, 40))
    results = []
    for norm in (lambda x, *wb: fused(x, 40, *wb, eps=1e-5), composed):
        inputs = [random(500, 7, 40, requires_grad=True)]
        inputs += [random(40, seed=i, requires_grad=True) for i in range(affine)]
        out = norm(*inputs)
        out.backward(cotangent)
        results.append([out.detach().numpy(), *(t.grad.data for t in inputs)])
    for one, other in zip(*results):
        assert np.abs(one).max() > 0.1
        np.testing.assert_allclose(one, other, atol=1e-10)


def test_statistics_taken_as_constants_are_rejected():
    "the classical mistake: right values, wrong gradient"
    def detached(x, weight, bias):
        mean, variance = x.mean(-1, keepdim=True).detach(), x.var(-1, correction=0, keepdim=True).detach()
        return (x - mean) * (variance + 1e-5).rsqrt() * weight + bias

    x, weight, bias = (random(*shape, seed=i, requires_grad=True) for i, shape in enumerate([(3, 5), (5,), (5,)]))
    np.testing.assert_allclose(detached(x, weight, bias).data, layer_norm(x, 5, weight, bias).data, atol=1e-12)
    gradcheck(lambda *inputs: layer_norm(inputs[0], 5, *inputs[1:]), x, weight, bias)
    with pytest.raises(GradientError, match="gradient of input 0"):
        gradcheck(detached, x, weight, bias)


@pytest.mark.parametrize("broken", ["no mean of grad", "no stretch"])
def test_each_term_of_the_backward_is_needed(broken):
    class Broken(LayerNormFunction):
        def forward(self, x):
            self.x, self.out = x, super().forward(x)
            return self.out

        def backward(self, grad):
            scale = 1 / np.sqrt(self.x.var(-1, keepdims=True) + 1e-5)
            dx = grad if broken == "no mean of grad" else grad - grad.mean(-1, keepdims=True)
            if broken != "no stretch":
                dx = dx - self.out * (grad * self.out).mean(-1, keepdims=True)
            return (dx * scale,)

    with pytest.raises(GradientError, match="Broken"):
        check_function(Broken, random(3, 5).data)


# ---- what a norm means


def test_rows_have_mean_0_and_variance_1():
    out = layer_norm(random(4, 6, 50) * 7 + 3, 50).numpy()
    np.testing.assert_allclose(out.mean(-1), 0, atol=1e-12)
    np.testing.assert_allclose(out.var(-1), 1, atol=1e-5)
    out = rms_norm(random(4, 6, 50) * 7 + 3, 50).numpy()
    np.testing.assert_allclose((out * out).mean(-1), 1, atol=1e-12)


def test_moved_and_stretched_rows_are_the_same_to_layer_norm_and_the_gradient_knows():
    x = random(3, 8, requires_grad=True)
    np.testing.assert_allclose(layer_norm(x * 5 - 2, 8, eps=0.0).data, layer_norm(x, 8, eps=0.0).data, atol=1e-12)
    out = layer_norm(x, 8, eps=0.0)
    out.backward(random(3, 8, seed=1).data)
    assert np.abs(x.grad.data).max() > 0.1
    np.testing.assert_allclose(x.grad.sum(-1), 0, atol=1e-12)
    np.testing.assert_allclose((x.grad.data * x.data).sum(-1), 0, atol=1e-12)


def test_rms_norm_of_centered_rows_is_layer_norm():
    x = random(3, 8)
    centered = x - x.mean(-1, keepdim=True)
    np.testing.assert_allclose(rms_norm(centered, 8, eps=1e-5).data, layer_norm(x, 8).data, atol=1e-12)


@pytest.mark.parametrize("norm", [LayerNorm, RMSNorm])
def test_rows_do_not_look_at_each_other(norm):
    x = random(4, 6)
    changed = x.data.copy()
    changed[2] += 5 * np.arange(6)
    one, other = norm(6)(x).data, norm(6)(Tensor(changed)).data
    assert np.array_equal(one[[0, 1, 3]], other[[0, 1, 3]]) and not np.allclose(one[2], other[2])


def test_several_trailing_dims_are_one_long_row():
    x, weight = random(3, 2, 4), random(2, 4, seed=1)
    for norm in (layer_norm, rms_norm):
        got = norm(x, (2, 4), weight)
        np.testing.assert_array_equal(got.numpy(), norm(x.reshape(3, 8), 8, weight.reshape(8)).reshape(3, 2, 4).numpy())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.1, -1234.567, 1e6])
def test_a_constant_row_has_no_deviation(dtype, value):
    x = Tensor(np.full((3, 7), value, dtype), requires_grad=True)
    out = layer_norm(x, 7)
    np.testing.assert_array_equal(out.detach().numpy(), 0)
    out.backward(np.eye(3, 7))
    assert np.isfinite(x.grad.data).all() and np.abs(x.grad.data).max() > 100  # scaled by 1 / sqrt(eps)


def test_rows_far_from_zero_keep_their_precision():
    near = np.random.default_rng(0).integers(-50, 50, (20, 96)) / 16  # exact in float32, also at 20,000
    x = Tensor((near + 20000).astype(np.float32))
    expected = (near - near.mean(-1, keepdims=True)) / np.sqrt(near.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(layer_norm(x, 96).numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("norm", [LayerNorm, RMSNorm])
def test_float32_stays_float32_and_nothing_is_modified(norm):
    layer = norm(6)
    array = np.random.default_rng(0).standard_normal((4, 5, 6)).astype(np.float32)
    x = Tensor(array, requires_grad=True)
    cotangent = np.ones((4, 5, 6), np.float32)
    out = layer(x)
    out.backward(cotangent)
    assert {out.dtype, x.grad.dtype, *(p.grad.dtype for p in layer.parameters())} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(x.data, array)
    np.testing.assert_array_equal(cotangent, 1)


@pytest.mark.parametrize("norm", [layer_norm, rms_norm])
@pytest.mark.parametrize("shape", [(0, 6), (2, 0, 6), (1, 6)])
def test_no_rows_or_one(norm, shape):
    x, weight = Tensor(np.ones(shape), requires_grad=True), Tensor(np.ones(6), requires_grad=True)
    norm(x, 6, weight).backward(np.ones(shape))
    assert x.grad.shape == shape and weight.grad.shape == (6,)


# ---- modules


def test_modules_and_their_parameters():
    def names(norm):
        return [name for name, _ in norm.named_parameters()]

    assert names(LayerNorm(5)) == ["weight", "bias"]
    assert names(LayerNorm(5, bias=False)) == names(RMSNorm(5)) == ["weight"]
    assert names(LayerNorm(5, elementwise_affine=False)) == names(RMSNorm((2, 5), elementwise_affine=False)) == []
    assert LayerNorm((2, 5)).bias.shape == (2, 5)
    assert LayerNorm(5).weight.data.all() and not LayerNorm(5).bias.data.any()
    assert repr(LayerNorm(5)) == "LayerNorm((5,), eps=1e-05, elementwise_affine=True)"
    assert repr(RMSNorm([2, 5])) == "RMSNorm((2, 5), eps=None, elementwise_affine=True)"


def test_every_parameter_gets_a_gradient():
    for layer in (LayerNorm(5), RMSNorm(5), LayerNorm((3, 5))):
        layer(random(2, 3, 5)).backward(random(2, 3, 5, seed=1).data)
        assert all(np.abs(p.grad.data).max() > 0.1 for p in layer.parameters())


@pytest.mark.parametrize("norm", [LayerNorm(4), RMSNorm(4), LayerNorm((3, 4)), RMSNorm((3, 4))])
def test_shapes_that_do_not_fit(norm):
    with pytest.raises(ValueError) as raised:
        norm(random(4, 3))
    for words in ("(4, 3)", str(norm.normalized_shape)):
        assert words in str(raised.value)


def test_weights_that_do_not_fit_and_integers():
    with pytest.raises(ValueError, match=r"\(3,\).*\(4,\)"):
        layer_norm(random(2, 4), 4, random(3))
    with pytest.raises(ValueError, match=r"\(1,\).*\(4,\)"):
        layer_norm(random(2, 4), 4, random(4), random(1))
    with pytest.raises(TypeError, match="rms_norm.*int64"):
        rms_norm(Tensor([[1, 2]]), 2)


# ---- PyTorch


CASES = {
    "ordinary": lambda rng: rng.standard_normal((3, 4, 6)),
    "constant rows": lambda rng: np.broadcast_to(rng.standard_normal((3, 4, 1)), (3, 4, 6)).copy(),
    "large offset": lambda rng: rng.standard_normal((3, 4, 6)) + 1000,
    "tiny": lambda rng: rng.standard_normal((3, 4, 6)) * 1e-4,
    "huge": lambda rng: rng.standard_normal((3, 4, 6)) * 1e6,
}


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 1e-5)])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("row", [(6,), (4, 6)])
@pytest.mark.parametrize("kind, affine, options", [
    ("layer_norm", 0, {}), ("layer_norm", 1, {}), ("layer_norm", 2, {}), ("layer_norm", 2, {"eps": 0.1}),
    ("rms_norm", 0, {}), ("rms_norm", 1, {}), ("rms_norm", 1, {"eps": 1e-3})])
def test_like_pytorch(torch, kind, affine, options, row, case, dtype, tolerance):
    """Values and gradients; PyTorch computes in float64 either way, from the same (maybe float32) numbers.

    In float32 it is itself up to 1e-4 off on rows far from zero.
    """
    rng = np.random.default_rng(0)
    arrays = [CASES[case](rng).astype(dtype), *(rng.standard_normal(row).astype(dtype) for _ in range(affine))]
    cotangent = rng.standard_normal((3, 4, 6)).astype(dtype)
    ours = [Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]
    norm, default_eps = {"layer_norm": (layer_norm, 1e-5), "rms_norm": (rms_norm, float(np.finfo(dtype).eps))}[kind]
    out = norm(ours[0], row, *ours[1:], **options)
    expected = getattr(torch.nn.functional, kind)(theirs[0], row, *theirs[1:], **({"eps": default_eps} | options))
    out.backward(cotangent)
    expected.backward(torch.tensor(cotangent, dtype=torch.float64))
    pairs = [(out.detach(), expected.detach())] + [(o.grad.data, t.grad.data) for o, t in zip(ours, theirs)]
    for got, wanted in pairs:
        got, wanted = np.asarray(got), wanted.numpy()
        assert got.dtype == dtype
        np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance * max(1.0, np.abs(wanted).max()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_eps_rms_norm_takes_the_machine_epsilon_of_the_dtype(torch, dtype):
    x = (np.random.default_rng(0).standard_normal((3, 6)) * 1e-4).astype(dtype)  # small: eps weighs in float32
    expected = torch.nn.functional.rms_norm(torch.tensor(x), (6,)).numpy()
    np.testing.assert_allclose(rms_norm(Tensor(x), 6).numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(RMSNorm(6, elementwise_affine=False)(Tensor(x)).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_that_epsilon_by_hand(dtype):
    out = rms_norm(Tensor(np.full((1, 2), 1e-4, dtype)), 2)
    expected = 1e-4 / np.sqrt(1e-8 + float(np.finfo(dtype).eps))
    assert out.dtype == dtype
    np.testing.assert_allclose(out.data, expected, rtol=1e-5)


def test_a_bias_without_a_weight(torch):
    x, bias = random(3, 5), random(5, seed=1)
    expected = torch.nn.functional.layer_norm(torch.tensor(x.data), (5,), None, torch.tensor(bias.data))
    np.testing.assert_allclose(layer_norm(x, 5, bias=bias).numpy(), expected.numpy(), atol=1e-12)


def test_state_dict_is_pytorchs(torch):
    theirs = torch.nn.LayerNorm((2, 5), dtype=torch.float64)
    with torch.no_grad():
        theirs.weight.normal_(), theirs.bias.normal_()
    ours = LayerNorm((2, 5)).double()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = random(3, 2, 5)
    np.testing.assert_allclose(ours(x).detach().numpy(), theirs(torch.tensor(x.data)).detach().numpy(), atol=1e-10)


@pytest.mark.parametrize("given", [(), ("weight",), ("bias",), ("weight", "bias")])
def test_what_is_absent_has_no_gradient(given):
    rng = np.random.default_rng(0)
    x, grad = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
    affine = [rng.standard_normal(4) if name in given else None for name in ("weight", "bias")]
    operation = LayerNormFunction(eps=0.1)
    operation.forward(x, *affine)
    gradients = operation.backward(grad)
    assert [None if g is None else g.shape for g in gradients[1:]] == [None if a is None else (4,) for a in affine]
    operation = RMSNormFunction(eps=0.1)
    operation.forward(x, affine[0])
    dx, dweight = operation.backward(grad)
    assert dx.shape == x.shape and (dweight is None) == (affine[0] is None)


def test_gradients_of_a_bias_without_a_weight():
    x, bias = random(3, 5, requires_grad=True), random(5, seed=1, requires_grad=True)
    gradcheck(lambda x, bias: layer_norm(x, 5, bias=bias), x, bias)
