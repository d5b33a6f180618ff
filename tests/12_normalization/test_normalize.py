"""Vectors of length 1."""
import math

import numpy as np
import pytest

from tinytorch import Tensor
from tinytorch.gradcheck import gradcheck
from tinytorch.nn.normalization import normalize

POWERS = [1.0, 2.0, 2, 3.0, 4, 1.5, math.inf]


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("shape, dim", [((3, 4), 1), ((3, 4), 0), ((2, 3, 4), -1), ((5,), 0)])
def test_length_1_and_gradient(shape, dim, p):
    x = Tensor(np.random.default_rng(0).standard_normal(shape), requires_grad=True)
    out = normalize(x, p, dim).detach().numpy()
    np.testing.assert_allclose(np.linalg.norm(out, p, axis=dim), 1, atol=1e-12)
    gradcheck(lambda x: normalize(x, p, dim), x)


def test_products_are_cosines():
    x = normalize(Tensor([[3.0, 4.0], [-4.0, 3.0], [6.0, 8.0]]))
    np.testing.assert_allclose((x @ x.T).numpy(), [[1, 0, 1], [0, 1, 0], [1, 0, 1]], atol=1e-6)


@pytest.mark.parametrize("p", POWERS)
@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-10), (np.float32, 1e-5)])
def test_like_pytorch_also_at_zero(torch, p, dtype, tolerance):
    rng = np.random.default_rng(0)
    array, cotangent = rng.standard_normal((4, 5)).astype(dtype), rng.standard_normal((4, 5)).astype(dtype)
    array[1] = 0
    array[2] *= 1e-4
    for eps in (1e-12, 0.5):
        ours, theirs = Tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
        out, expected = normalize(ours, p, eps=eps), torch.nn.functional.normalize(theirs, p, eps=eps)
        out.backward(cotangent)
        expected.backward(torch.tensor(cotangent))
        assert out.dtype == ours.grad.dtype == dtype
        np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), atol=tolerance)
        scale = np.abs(theirs.grad.numpy()).max(axis=1, keepdims=True)
        np.testing.assert_allclose(ours.grad.data / scale, theirs.grad.numpy() / scale, atol=tolerance)


@pytest.mark.parametrize("p", [0, -1.0])
def test_other_powers_are_refused(p):
    with pytest.raises(ValueError, match=f"normalize.*{p}"):
        normalize(Tensor([[1.0]]), p)


def test_other_dims_are_refused():
    with pytest.raises(IndexError):
        normalize(Tensor([[1.0]]), dim=2)


@pytest.mark.parametrize("p", POWERS)
def test_a_vector_of_zeros_stays_and_its_gradient_is_over_eps(p):
    x = Tensor([[0.0, 0.0], [3e-3, 4e-3]], requires_grad=True, dtype=np.float64)
    out = normalize(x, p, eps=0.5)
    out.sum().backward()
    np.testing.assert_allclose(out.data, x.data / 0.5)
    np.testing.assert_allclose(x.grad.data, 2)
