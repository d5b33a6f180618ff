"""Batch normalization: by the batch while training, by running statistics afterwards."""
import numpy as np
import pytest

import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.gradcheck import GradientError, gradcheck


def random(*shape, seed=0, **options):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), **options)


def composed(x, weight, bias, eps=1e-5):
    "the formula from primitives"
    dims, shape = tuple(d for d in range(x.ndim) if d != 1), (1, -1, *[1] * (x.ndim - 2))
    deviation = x - x.mean(dims, keepdim=True)
    scale = (deviation.square().mean(dims, keepdim=True) + eps).rsqrt()
    return deviation * scale * weight.reshape(shape) + bias.reshape(shape)


def fused(x, weight, bias):
    return F.batch_norm(x, None, None, weight, bias, training=True)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 5)])
def test_fused_and_composed_agree_in_value_and_gradient(shape):
    cotangent, results = np.random.default_rng(9).standard_normal(shape), []
    for norm in (fused, composed):
        inputs = [random(*shape, requires_grad=True), *(random(3, seed=s, requires_grad=True) for s in (1, 2))]
        out = norm(*inputs)
        out.backward(cotangent)
        results.append([out.data, *(t.grad.data for t in inputs)])
    for one, other in zip(*results):
        assert np.abs(one).max() > 0.1
        np.testing.assert_allclose(one, other, atol=1e-11)


def test_channels_have_mean_0_and_variance_1():
    out = F.batch_norm(random(8, 3, 5, 5) * 7 + 3, None, None, training=True).data
    np.testing.assert_allclose(out.mean((0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(out.var((0, 2, 3)), 1, atol=1e-5)


def test_statistics_taken_as_constants_are_rejected():
    "the classical mistake: right values, wrong gradient"
    def detached(x, weight, bias):
        shape, held = (1, -1, 1, 1), x.detach()
        mean, variance = held.mean((0, 2, 3)).reshape(shape), held.var((0, 2, 3), correction=0).reshape(shape)
        return (x - mean) * (variance + 1e-5).rsqrt() * weight.reshape(shape) + bias.reshape(shape)

    inputs = [random(3, 2, 2, 3, requires_grad=True), *(random(2, seed=s, requires_grad=True) for s in (1, 2))]
    np.testing.assert_allclose(detached(*inputs).data, fused(*inputs).data, atol=1e-12)
    gradcheck(fused, *inputs)
    with pytest.raises(GradientError, match="gradient of input 0"):
        gradcheck(detached, *inputs)


def test_float32_far_from_zero_keeps_its_precision():
    near = np.random.default_rng(0).integers(-50, 50, (200, 4)) / 16  # exact in float32, also at 20,000
    x = Tensor((near + 20000).astype(np.float32), requires_grad=True)
    out = F.batch_norm(x, None, None, training=True)
    expected = (near - near.mean(0)) / np.sqrt(near.var(0) + 1e-5)
    np.testing.assert_allclose(out.data, expected, atol=1e-5)
    out.backward(near)
    assert out.dtype == x.grad.dtype == np.float32


# ---- running statistics


def test_they_follow_the_batches_in_place():
    norm = nn.BatchNorm2d(3, momentum=0.25).double()
    mean, var, x = norm.running_mean.data, norm.running_var.data, random(4, 3, 2, 5) * 3 + 1
    norm(x)
    np.testing.assert_allclose(mean, 0.25 * x.data.mean((0, 2, 3)))
    np.testing.assert_allclose(var, 0.75 + 0.25 * x.data.var((0, 2, 3), ddof=1))
    assert norm.num_batches_tracked.item() == 1
    norm.eval()(x)
    np.testing.assert_allclose(mean, 0.25 * x.data.mean((0, 2, 3)))
    assert norm.num_batches_tracked.item() == 1, "nothing moves in eval mode"


def test_in_eval_mode_no_image_looks_at_another():
    norm = nn.BatchNorm1d(3)
    for seed in range(20):
        norm(random(16, 3, seed=seed) * 2 + 5)
    x = (random(4, 3) * 2 + 5).float()
    alone = [norm.eval()(x[i:i + 1]).data for i in range(4)]
    np.testing.assert_array_equal(np.concatenate(alone), norm(x).data)
    assert not np.allclose(norm.train()(x).data, np.concatenate(alone))


def test_without_a_momentum_they_are_plain_averages():
    norm, batches = nn.BatchNorm1d(2, momentum=None).double(), [random(8, 2, seed=s) for s in range(5)]
    for x in batches:
        norm(x)
    np.testing.assert_allclose(norm.running_mean.data, np.mean([x.data.mean(0) for x in batches], axis=0))
    np.testing.assert_allclose(norm.running_var.data, np.mean([x.data.var(0, ddof=1) for x in batches], axis=0))


def test_without_statistics_every_batch_is_its_own():
    norm = nn.BatchNorm1d(3, track_running_stats=False)
    x = random(6, 3).float()
    np.testing.assert_array_equal(norm(x).data, norm.eval()(x).data)
    assert list(norm.state_dict()) == ["weight", "bias"]


def test_state_and_parameters():
    norm = nn.BatchNorm2d(4)
    assert [name for name, _ in norm.named_parameters()] == ["weight", "bias"]
    assert list(norm.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    assert not list(nn.BatchNorm1d(4, affine=False).parameters())
    norm(random(3, 4, 2, 2).float())
    other = nn.BatchNorm2d(4)
    other.load_state_dict(norm.state_dict())
    assert other.num_batches_tracked.item() == 1
    x = random(3, 4, 2, 2, seed=1).float()
    np.testing.assert_array_equal(other.eval()(x).data, norm.eval()(x).data)
    assert repr(norm) == "BatchNorm2d(4, eps=1e-05, momentum=0.1, affine=True, track_running_stats=True)"


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
@pytest.mark.parametrize("affine", [True, False])
def test_like_pytorch_through_training_and_use(torch, momentum, affine):
    theirs = torch.nn.BatchNorm2d(3, momentum=momentum, affine=affine, dtype=torch.float64)
    ours = nn.BatchNorm2d(3, momentum=momentum, affine=affine).double()
    for step in range(6):
        if step == 4:
            ours.eval(), theirs.eval()
        x = random(4, 3, 2, 5, seed=step, requires_grad=True)
        tensor, cotangent = torch.tensor(x.data, requires_grad=True), random(4, 3, 2, 5, seed=50 + step).data
        out, expected = ours(x), theirs(tensor)
        out.backward(cotangent), expected.backward(torch.tensor(cotangent))
        np.testing.assert_allclose(out.data, expected.detach().numpy(), atol=1e-11)
        np.testing.assert_allclose(x.grad.data, tensor.grad.numpy(), atol=1e-11)
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], value.numpy(), atol=1e-12)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(dict(ours.named_parameters())[name].grad.data, parameter.grad.numpy(), atol=1e-10)


# ---- what is refused


@pytest.mark.parametrize("call, says", [
    (lambda: nn.BatchNorm2d(3)(random(4, 3)), r"BatchNorm2d.*\(4, 3\).* 4"),
    (lambda: nn.BatchNorm1d(3)(random(4, 5)), r"\(4, 5\).* 3"),
    (lambda: nn.BatchNorm1d(3)(random(1, 3)), "batch_norm.*1, 3"),
    (lambda: F.batch_norm(random(4, 3), random(2), random(3)), r"running_mean.*\(2,\).*\(3,\)"),
    (lambda: F.batch_norm(random(4, 3), None, None), "running_mean.*running_var")])
def test_what_does_not_fit(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_what_is_refused_moves_nothing():
    norm = nn.BatchNorm1d(3)
    with pytest.raises(ValueError):
        norm(random(1, 3))
    assert norm.num_batches_tracked.item() == 0 and not norm.running_mean.data.any()


def test_integers():
    with pytest.raises(TypeError, match=r"batch_norm.*int64.*\.float\(\)"):
        F.batch_norm(Tensor([[1, 2]]), None, None, training=True)
