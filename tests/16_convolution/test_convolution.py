"""Convolution: what a window sees, one product, and the way back to every pixel."""
import itertools

import numpy as np
import pytest

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor, no_grad
from tinytorch.gradcheck import gradcheck
from tinytorch.nn.convolution import offsets, output_size, padding_pairs
from tinytorch.optim import SGD


def random(*shape, seed=0, **options):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), **options)


def by_loops(x, weight, bias, stride, padding, dilation, groups):
    "the formula, number by number"
    (N, _, H, W), (filters, per_group, kh, kw) = x.shape, weight.shape
    x = np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    height, width = [len(range(0, size + 2 * p - d * (k - 1), s)) for size, p, d, k, s in
                     zip((H, W), padding, dilation, (kh, kw), stride)]
    out = np.zeros((N, filters, height, width))
    for n, o, y, column in np.ndindex(*out.shape):
        first = o // (filters // groups) * per_group
        for c, i, j in np.ndindex(per_group, kh, kw):
            out[n, o, y, column] += weight[o, c, i, j] * x[
                n, first + c, y * stride[0] + i * dilation[0], column * stride[1] + j * dilation[1]]
    return out + bias[:, None, None]


# ---- how many windows, and where


@pytest.mark.parametrize("size, kernel, stride, padding, dilation", list(itertools.product(
    [5, 6, 9], [1, 2, 3], [1, 2, 4], [(0, 0), (1, 1), (0, 2)], [1, 2])))
def test_windows_are_counted_one_by_one(size, kernel, stride, padding, dilation):
    starts = range(-padding[0], size + padding[1], stride)
    inside = [start for start in starts if start + dilation * (kernel - 1) < size + padding[1]]
    assert output_size(size, kernel, stride, padding, dilation) == len(inside)


def test_offsets_are_what_all_windows_see():
    x = random(2, 3, 5, 6).data
    found = dict(offsets((2, 3), (2, 1), (1, 2), (2, 2)))
    assert list(found) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    for (i, j), seen in found.items():
        for y, column in np.ndindex(2, 2):
            np.testing.assert_array_equal(x[seen][:, :, y, column], x[:, :, 2 * y + i, column + 2 * j])


def test_same_padding_is_pytorchs():
    assert padding_pairs("same", (3, 4), (1, 1), (1, 2)) == ((1, 1), (3, 3))
    assert padding_pairs("same", (4,), (1,), (1,)) == ((1, 2),)
    assert padding_pairs("valid", (3, 3), (2, 2), (1, 1)) == ((0, 0), (0, 0))


# ---- values and gradients


@pytest.mark.parametrize("stride, padding, dilation, groups", [
    ((1, 1), (0, 0), (1, 1), 1), ((2, 1), (1, 0), (1, 1), 2), ((1, 3), (0, 2), (2, 1), 1), ((2, 2), (2, 2), (2, 3), 2)])
def test_like_the_loops(stride, padding, dilation, groups):
    x, weight, bias = random(2, 4, 7, 8), random(6, 4 // groups, 3, 2, seed=1), random(6, seed=2)
    expected = by_loops(x.data, weight.data, bias.data, stride, padding, dilation, groups)
    np.testing.assert_allclose(F.conv2d(x, weight, bias, stride, padding, dilation, groups).data, expected, atol=1e-12)


def test_a_window_of_one_is_a_linear_layer_over_channels():
    x, weight = random(2, 3, 4, 5), random(6, 3, 1, 1, seed=1)
    expected = F.linear(x.permute(0, 2, 3, 1), weight.reshape(6, 3)).permute(0, 3, 1, 2)
    np.testing.assert_allclose(F.conv2d(x, weight).data, expected.data, atol=1e-12)


def test_a_window_as_large_as_the_image_is_a_linear_layer_over_all():
    x, weight, bias = random(2, 3, 4, 5), random(6, 3, 4, 5, seed=1), random(6, seed=2)
    out = F.conv2d(x, weight, bias)
    assert out.shape == (2, 6, 1, 1)
    np.testing.assert_allclose(out.data[..., 0, 0], F.linear(x.flatten(1), weight.flatten(1), bias).data, atol=1e-12)


def test_one_dim_is_two_with_one_row():
    x, weight = random(2, 3, 9), random(4, 3, 3, seed=1)
    out = F.conv1d(x, weight, stride=2, padding=1, dilation=2)
    two = F.conv2d(x.unsqueeze(2), weight.unsqueeze(2), stride=(1, 2), padding=(0, 1), dilation=(1, 2))
    np.testing.assert_allclose(out.data, two.data[:, :, 0], atol=1e-12)


def test_groups_do_not_mix():
    x, weight = random(1, 4, 5, 5), random(4, 2, 3, 3, seed=1)
    before = F.conv2d(x, weight, groups=2).data
    x.data[:, 2:] += 1
    after = F.conv2d(x, weight, groups=2).data
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert not np.allclose(before[:, 2:], after[:, 2:])


def test_a_moved_image_gives_a_moved_result():
    x = np.zeros((1, 1, 9, 9))
    x[0, 0, 2:5, 3:5] = random(3, 2).data
    weight = random(2, 1, 3, 3, seed=1)
    moved = F.conv2d(Tensor(np.roll(x, (2, 1), (2, 3))), weight, padding=1).data
    np.testing.assert_allclose(moved, np.roll(F.conv2d(Tensor(x), weight, padding=1).data, (2, 1), (2, 3)), atol=1e-12)


def test_stride_beyond_the_kernel_leaves_pixels_without_a_gradient():
    x = random(1, 1, 7, 7, requires_grad=True)
    F.conv2d(x, Tensor(np.ones((1, 1, 2, 2))), stride=3).sum().backward()
    seen = np.isin(np.arange(7), [0, 1, 3, 4])
    np.testing.assert_array_equal(x.grad.data[0, 0], np.outer(seen, seen))


def test_a_pixel_counts_the_windows_that_see_it():
    x = random(1, 1, 4, 5, requires_grad=True)
    F.conv2d(x, Tensor(np.ones((1, 1, 2, 3)))).sum().backward()
    np.testing.assert_array_equal(x.grad.data[0, 0], np.outer([1, 2, 2, 1], [1, 2, 3, 2, 1]))


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1}, {"padding": "same", "dilation": 2},
                                     {"groups": 2, "stride": (1, 2)}])
def test_the_gradient_is_the_slope(options):
    weight = random(4, 4 // options.get("groups", 1), 3, 2, seed=1, requires_grad=True)
    inputs = random(2, 4, 5, 6, requires_grad=True), weight, random(4, seed=2, requires_grad=True)
    gradcheck(lambda *tensors: F.conv2d(*tensors, **options), *inputs)


def test_the_gradient_where_same_padding_is_not_symmetric():
    "An even kernel needs one place more behind than in front: (1, 2) for 4."
    x, weight = random(2, 1, 6, requires_grad=True), random(2, 1, 4, seed=1, requires_grad=True)
    gradcheck(lambda x, weight: F.conv1d(x, weight, padding="same"), x, weight)


def test_only_what_is_wanted_is_computed():
    x, weight = random(1, 2, 5, 5), random(3, 2, 3, 3, seed=1, requires_grad=True)
    out = F.conv2d(x, weight)
    dx, dweight, dbias = out.grad_fn.backward(np.ones(out.shape))
    assert dx is None and dweight.shape == weight.shape
    weight.requires_grad, x.requires_grad = False, True
    out = F.conv2d(x, weight)
    out.backward(np.ones(out.shape))
    assert weight.grad is None and np.abs(x.grad.data).max() > 0.1


def test_an_empty_batch():
    weight = random(3, 2, 3, 3, requires_grad=True)
    out = F.conv2d(Tensor(np.zeros((0, 2, 5, 5))), weight)
    assert out.shape == (0, 3, 3, 3)
    out.backward(np.zeros(out.shape))
    np.testing.assert_array_equal(weight.grad.data, np.zeros(weight.shape))


# ---- modules


def test_parameters_start_as_in_a_linear_layer_over_one_window():
    tinytorch.manual_seed(0)
    layer = nn.Conv2d(8, 200, (3, 5), groups=2)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    assert layer.weight.shape == (200, 4, 3, 5)
    bound = 1 / np.sqrt(4 * 3 * 5)
    for parameter in layer.parameters():
        assert np.abs(parameter.data).max() <= bound and parameter.data.std() == pytest.approx(bound / 3**0.5, rel=0.1)


def test_how_they_look():
    assert repr(nn.Conv2d(3, 8, 3)) == "Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1))"
    shown = repr(nn.Conv1d(4, 8, 5, padding="same", groups=2, bias=False))
    assert shown == "Conv1d(4, 8, kernel_size=(5,), stride=(1,), padding=same, groups=2, bias=False)"


def test_state_dict_is_pytorchs(torch):
    theirs = torch.nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2, dtype=torch.float64)
    ours = nn.Conv2d(4, 6, (3, 2), stride=2, padding=1, groups=2).double()
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x = random(2, 4, 7, 7)
    with no_grad():
        np.testing.assert_allclose(ours(x).data, theirs(torch.tensor(x.data)).detach().numpy(), atol=1e-12)


def test_it_learns_a_filter_from_examples():
    images, true = random(16, 1, 8, 8), random(1, 1, 3, 3, seed=5)
    targets = F.conv2d(images, true)
    layer = nn.Conv2d(1, 1, 3, bias=False).double()
    optimizer = SGD(layer.parameters(), lr=0.2)
    for _ in range(100):
        loss = F.mse_loss(layer(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(layer.weight.data, true.data, atol=1e-3)


@pytest.mark.parametrize("make, says", [
    (lambda: nn.Conv2d(3, 4, 3, groups=2), "groups.*2.*in_channels.*3"),
    (lambda: nn.Conv2d(2, 3, 3, groups=2), "groups.*2.*out_channels.*3"),
    (lambda: nn.Conv2d(2, 3, (3, 3, 3)), r"kernel_size.*\(3, 3, 3\).* 2"),
    (lambda: nn.Conv1d(2, 3, 0), "kernel_size.* 0.* 1"),
    (lambda: nn.Conv2d(2, 3, 3, padding="full"), "padding: .*'full'"),
    (lambda: nn.Conv2d(2, 3, 3, padding="same", stride=2), "stride.*2"),
    (lambda: nn.Conv2d(2, 3, 3, padding=-1), "padding.*-1.* 0")])
def test_what_cannot_be(make, says):
    with pytest.raises(ValueError, match=says):
        make()
