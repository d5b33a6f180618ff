"""Losses on numbers and on yes or no."""
import numpy as np
import pytest

from tinytorch import Tensor, randn
from tinytorch.gradcheck import check_function, gradcheck
from tinytorch.nn.losses import (
    BCELoss,
    BCEWithLogitsLoss,
    BinaryCrossEntropyFunction,
    L1Loss,
    MSELoss,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    l1_loss,
    mse_loss,
)

PAIRS = [mse_loss, l1_loss, binary_cross_entropy, binary_cross_entropy_with_logits]


def pair(name, dtype=np.float64, seed=0, shape=(4, 3)):
    "(input, target) in the domain of the loss"
    rng = np.random.default_rng(seed)
    if name in ("mse_loss", "l1_loss"):
        return rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape).astype(dtype)
    scale = (lambda x: x * 4) if name.endswith("logits") else (lambda x: 0.02 + 0.96 / (1 + np.exp(-x)))
    return scale(rng.standard_normal(shape)).astype(dtype), rng.random(shape).astype(dtype)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("loss", PAIRS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("seed", range(3))
def test_gradients_to_input_and_target(loss, reduction, seed):
    x, t = (Tensor(a, requires_grad=True) for a in pair(loss.__name__, seed=seed))
    gradcheck(lambda x, t: loss(x, t, reduction=reduction), x, t, seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_binary_cross_entropy_function(seed):
    check_function(BinaryCrossEntropyFunction, *pair("binary_cross_entropy", seed=seed), seed=seed)


def test_values_by_hand():
    x, t = Tensor([1.0, 2.0, 10.0]), Tensor([1.0, 3.0, 4.0])
    assert mse_loss(x, t).item() == pytest.approx(37 / 3) and mse_loss(x, t, "sum").item() == 37
    assert l1_loss(x, t).item() == pytest.approx(7 / 3) and l1_loss(x, t, "none").data.tolist() == [0, 1, 6]
    assert binary_cross_entropy(Tensor([0.25]), Tensor([1.0])).item() == pytest.approx(np.log(4))
    assert binary_cross_entropy_with_logits(Tensor([0.0]), Tensor([1.0])).item() == pytest.approx(np.log(2))


def test_certain_and_wrong_is_finite_and_still_has_a_gradient():
    p = Tensor(np.array([0.0, 1.0, 0.0, 1.0]), requires_grad=True)
    losses = binary_cross_entropy(p, Tensor(np.array([1.0, 0.0, 0.0, 1.0])), reduction="none")
    losses.sum().backward()
    np.testing.assert_allclose(losses.data, [100, 100, 0, 0])
    assert np.isfinite(p.grad.data).all() and p.grad.data[0] < 0 < p.grad.data[1]
    x = Tensor(np.array([500.0, -500.0], np.float32), requires_grad=True)
    losses = binary_cross_entropy_with_logits(x, Tensor([0.0, 1.0]), reduction="none")
    losses.sum().backward()
    np.testing.assert_allclose(losses.data, [500, 500])
    np.testing.assert_allclose(x.grad.data, [1, -1])
    assert losses.dtype == np.float32


def test_weights():
    x, t = (Tensor(a) for a in pair("binary_cross_entropy_with_logits"))
    w, plain = Tensor([1.0, 0.0, 3.0]), binary_cross_entropy_with_logits(x, t, reduction="none").data
    np.testing.assert_allclose(binary_cross_entropy_with_logits(x, t, w, reduction="none").data, plain * w.data)
    ones, positive = Tensor(np.ones((4, 3))), binary_cross_entropy_with_logits(x, t, pos_weight=Tensor([2.0, 1.0, 1.0]))
    assert positive.item() > plain.mean()
    for_ones = binary_cross_entropy_with_logits(x, ones, reduction="none").data
    tripled = binary_cross_entropy_with_logits(x, ones, reduction="none", pos_weight=Tensor(3.0)).data
    np.testing.assert_allclose(tripled, 3 * for_ones)


@pytest.mark.parametrize("loss", PAIRS, ids=lambda f: f.__name__)
def test_shapes_that_would_broadcast_are_refused(loss):
    x = Tensor(np.full((4, 1), 0.5), requires_grad=True)
    with pytest.raises(ValueError) as raised:
        loss(x, Tensor(np.full(4, 0.5)))
    assert "(4, 1)" in str(raised.value) and "(4,)" in str(raised.value)
    assert x.grad is None


@pytest.mark.parametrize("loss", PAIRS, ids=lambda f: f.__name__)
def test_integers_and_unknown_reductions_are_refused(loss):
    x = Tensor([0.5, 0.5])
    with pytest.raises(TypeError, match="int64"):
        loss(x, Tensor([1, 0]))
    with pytest.raises(ValueError, match="average"):
        loss(x, x, reduction="average")


@pytest.mark.parametrize("p, t, fact", [([1.5], [1.0], "1.5"), ([-0.1], [1.0], "-0.1"),
                                        ([0.5], [2.5], "2.5"), ([float("nan")], [1.0], "nan")])
def test_what_is_no_probability_is_refused(p, t, fact):
    with pytest.raises(ValueError, match=fact):
        binary_cross_entropy(Tensor(p), Tensor(t))


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("loss", PAIRS, ids=lambda f: f.__name__)
def test_values_and_gradients_are_pytorchs(torch, loss, reduction, dtype, tolerance):
    x, t = pair(loss.__name__, dtype)
    weight = np.random.default_rng(7).random(3).astype(dtype)
    options = [{}]
    if loss.__name__.startswith("binary"):
        options += [{"weight": weight}]
    if loss.__name__.endswith("logits"):
        options += [{"weight": weight, "pos_weight": weight * 5}]
    for option in options:
        ours, theirs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
        out = loss(ours, Tensor(t), reduction=reduction, **{k: Tensor(v) for k, v in option.items()})
        expected = getattr(torch.nn.functional, loss.__name__)(
            theirs, torch.tensor(t), reduction=reduction, **{k: torch.tensor(v) for k, v in option.items()})
        out.sum().backward()
        expected.sum().backward()
        assert out.dtype == ours.grad.dtype == dtype and np.abs(ours.grad.data).max() > 1e-3
        np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("module, function, options", [
    (MSELoss, mse_loss, {}), (L1Loss, l1_loss, {}),
    (BCELoss, binary_cross_entropy, {"weight": Tensor([1.0, 2.0, 0.5])}),
    (BCEWithLogitsLoss, binary_cross_entropy_with_logits,
     {"weight": Tensor([1.0, 2.0, 0.5]), "pos_weight": Tensor([3.0, 1.0, 1.0])})])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_modules_hand_their_options_on(module, function, options, reduction):
    x, t = (Tensor(a) for a in pair(function.__name__))
    criterion = module(reduction=reduction, **options)
    np.testing.assert_array_equal(criterion(x, t).data, function(x, t, reduction=reduction, **options).data)
    assert list(criterion.state_dict()) == list(options) and list(criterion.parameters()) == []


def test_a_loss_pulls_a_prediction_to_its_target():
    x, t = randn(5, requires_grad=True), randn(5)
    for _ in range(200):
        x.grad = None
        mse_loss(x, t).backward()
        x.data -= 0.5 * x.grad.data
    np.testing.assert_allclose(x.data, t.data, atol=1e-5)
