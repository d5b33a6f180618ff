"""Pooling: the largest or the mean of each window, and who receives the gradient."""
import numpy as np
import pytest

import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.gradcheck import gradcheck


def untied(*shape):
    return 0.37 * np.random.default_rng(0).permutation(int(np.prod(shape))).reshape(shape) - 5


def test_windows_that_do_not_overlap():
    x = untied(2, 3, 4, 6)
    blocks = x.reshape(2, 3, 2, 2, 3, 2)
    np.testing.assert_array_equal(F.max_pool2d(Tensor(x), 2).data, blocks.max(axis=(3, 5)))
    np.testing.assert_allclose(F.avg_pool2d(Tensor(x), 2).data, blocks.mean(axis=(3, 5)))


def test_only_the_winner_receives():
    x = Tensor(untied(1, 2, 4, 4), requires_grad=True)
    out = F.max_pool2d(x, 2)
    out.backward(np.arange(8.0).reshape(1, 2, 2, 2) + 1)
    assert np.count_nonzero(x.grad.data) == 8
    for window in range(8):
        place = np.argwhere(x.data == out.data.reshape(-1)[window])[0]
        assert x.grad.data[tuple(place)] == window + 1


def test_of_those_that_tie_the_first_receives():
    x = Tensor(np.array([[[2.0, 2.0, 1.0, 1.0, 3.0, 3.0]]]), requires_grad=True)
    F.max_pool1d(x, 3).backward(np.array([[[10.0, 20.0]]]))
    np.testing.assert_array_equal(x.grad.data, [[[10, 0, 0, 0, 20, 0]]])


def test_a_pixel_that_wins_twice_receives_twice():
    x = Tensor(np.array([[[1.0, 5.0, 2.0]]]), requires_grad=True)
    F.max_pool1d(x, 2, stride=1).backward(np.array([[[10.0, 20.0]]]))
    np.testing.assert_array_equal(x.grad.data, [[[0, 30, 0]]])


def test_the_border_never_wins_and_counts_in_the_mean_if_told():
    x = Tensor(-np.ones((1, 1, 2, 2)))
    np.testing.assert_array_equal(F.max_pool2d(x, 2, stride=1, padding=1).data, -np.ones((1, 1, 3, 3)))
    counted = F.avg_pool2d(x, 2, stride=2, padding=1)
    np.testing.assert_array_equal(counted.data, np.full((1, 1, 2, 2), -0.25))
    np.testing.assert_array_equal(F.avg_pool2d(x, 2, stride=2, padding=1, count_include_pad=False).data,
                                  -np.ones((1, 1, 2, 2)))


def test_with_ceil_mode_a_last_window_sticks_out():
    x = Tensor(np.array([[[1.0, 2.0, 3.0, 4.0, 5.0]]]))
    assert F.max_pool1d(x, 2).data.tolist() == [[[2, 4]]]
    assert F.max_pool1d(x, 2, ceil_mode=True).data.tolist() == [[[2, 4, 5]]]
    assert F.avg_pool1d(x, 2, ceil_mode=True).data.tolist() == [[[1.5, 3.5, 5]]], "a mean of what is there"


@pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
@pytest.mark.parametrize("options", [{"kernel_size": 2}, {"kernel_size": (3, 2), "stride": 1, "padding": 1},
                                     {"kernel_size": 2, "stride": 3, "ceil_mode": True}])
def test_the_gradient_is_the_slope(pool, options):
    gradcheck(lambda x: pool(x, **options), Tensor(untied(2, 2, 5, 6), requires_grad=True))


@pytest.mark.parametrize("kernel, stride, padding", [(2, None, 0), (3, 2, 1), ((2, 3), (3, 1), (1, 0))])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_like_pytorch(torch, kernel, stride, padding, ceil_mode):
    x = untied(2, 3, 7, 8)
    for name, options in (("MaxPool2d", {}), ("AvgPool2d", {"count_include_pad": False})):
        options = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode, **options}
        ours, theirs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        out, expected = getattr(nn, name)(**options)(ours), getattr(torch.nn, name)(**options)(theirs)
        cotangent = np.random.default_rng(1).standard_normal(out.shape)
        out.backward(cotangent), expected.backward(torch.tensor(cotangent))
        np.testing.assert_allclose(out.data, expected.detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("kernel, stride, padding", [(2, 2, 0), (3, 1, 1), (3, 2, 1)])
def test_a_window_with_nan_gives_nan_as_in_pytorch_and_the_last_nan_gets_its_gradient(torch, kernel, stride, padding):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5, (3, 2, 7, 7)).astype(np.float32)  # with ties
    x[rng.random(x.shape) < 0.2] = np.nan
    ours, theirs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    out = F.max_pool2d(ours, kernel, stride, padding)
    expected = torch.nn.functional.max_pool2d(theirs, kernel, stride, padding)
    cotangent = rng.standard_normal(out.shape).astype(np.float32)
    out.backward(cotangent), expected.backward(torch.tensor(cotangent))
    np.testing.assert_array_equal(out.data, expected.detach().numpy())
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), atol=1e-6)


def test_modules_show_their_options_and_have_no_parameters():
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    assert repr(nn.AvgPool1d(3, 1)).startswith("AvgPool1d(kernel_size=3, stride=1, padding=0, ceil_mode=False")
    assert not list(nn.MaxPool1d(2).parameters())
    assert nn.MaxPool1d(2)(Tensor(untied(1, 1, 6))).shape == nn.AvgPool1d(2)(Tensor(untied(1, 1, 6))).shape == (1, 1, 3)


def test_float32_stays_float32():
    x = Tensor(untied(1, 2, 4, 4).astype(np.float32), requires_grad=True)
    for pool in (F.max_pool2d, F.avg_pool2d):
        x.grad, out = None, pool(x, 2)
        out.backward(np.ones(out.shape))
        assert out.dtype == x.grad.dtype == np.float32 and np.abs(x.grad.data).max() > 0.2
