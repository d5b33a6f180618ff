"""Cross entropy: fused against composed, against PyTorch, and at its edges."""
import math
from functools import partial

import numpy as np
import pytest

from tinytorch import Tensor, no_grad
from tinytorch.gradcheck import GradientError, check_function, gradcheck
from tinytorch.nn.activations import log_softmax
from tinytorch.nn.losses import CrossEntropyFunction, CrossEntropyLoss, NLLLoss, cross_entropy, nll_loss

CLASSES = 5
SHAPES = [(CLASSES,), (6, CLASSES), (3, CLASSES, 4), (2, CLASSES, 3, 2), (0, CLASSES)]


def case(shape, seed=0, dtype=np.float64):
    "logits, indices, indices of which some are ignored, probabilities, and class weights"
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal(shape) * 3).astype(dtype)
    batch = shape[:1] + shape[2:] if len(shape) > 1 else ()
    y = rng.integers(0, CLASSES, batch)
    ignored = np.array(y)
    ignored.flat[1::3] = -100
    return x, y, ignored, rng.random(shape).astype(dtype), rng.random(CLASSES).astype(dtype) + 0.1


# ---- gradients


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_fused_gradient_is_that_of_finite_differences(smoothing, weighted, seed):
    x, _, y, _, w = case((6, CLASSES), seed)
    check_function(lambda: CrossEntropyFunction(w if weighted else None, label_smoothing=smoothing), x, y, seed=seed)


def test_the_check_rejects_a_gradient_that_forgets_the_target():
    class Forgetful(CrossEntropyFunction):
        def forward(self, x, target):
            self.believed = np.exp(x) / np.exp(x).sum(1, keepdims=True)
            return super().forward(x, target)

        def backward(self, grad):
            return self.believed * grad[:, None], None

    x, y, *_ = case((6, CLASSES))
    with pytest.raises(GradientError, match="Forgetful"):
        check_function(Forgetful, x, y)


@pytest.mark.parametrize("shape", SHAPES[:4])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_every_form_of_target(shape, reduction):
    x, y, ignored, shares, w = case(shape)
    logits = Tensor(x, requires_grad=True)
    for loss in (cross_entropy, nll_loss):
        gradcheck(partial(loss, target=Tensor(y), weight=Tensor(w), reduction=reduction), logits)
        gradcheck(partial(loss, target=Tensor(ignored), weight=Tensor(w), reduction=reduction), logits)
    gradcheck(lambda x, t: cross_entropy(x, t, Tensor(w), reduction=reduction, label_smoothing=0.2),
              logits, Tensor(shares, requires_grad=True))


@pytest.mark.parametrize("shape", SHAPES[:4])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_fused_and_composed_agree(shape, reduction):
    x, _, y, _, w = case(shape)
    results = []

    def composed_cross_entropy(x, *rest, **options):
        return nll_loss(log_softmax(x, min(1, x.ndim - 1)), *rest, **options)

    for f in (cross_entropy, composed_cross_entropy):
        logits = Tensor(x, requires_grad=True)
        loss = f(logits, Tensor(y), Tensor(w), reduction=reduction)
        loss.sum().backward()
        results.append((loss.data, logits.grad.data))
    (fused, fused_gradient), (composed, composed_gradient) = results
    assert np.abs(fused_gradient).max() > 1e-3
    np.testing.assert_allclose(fused, composed, atol=1e-12)
    np.testing.assert_allclose(fused_gradient, composed_gradient, atol=1e-12)


def test_the_gradient_is_belief_minus_truth():
    x, y, *_ = case((6, CLASSES))
    logits = Tensor(x, requires_grad=True)
    cross_entropy(logits, Tensor(y)).backward()
    np.testing.assert_allclose(logits.grad.data, (logits.softmax(1).data - np.eye(CLASSES)[y]) / 6, atol=1e-12)


def test_an_index_is_a_probability_of_one():
    x, y, _, _, w = case((3, CLASSES, 4))
    one_hot = np.eye(CLASSES)[y].transpose(0, 2, 1)
    for smoothing in (0.0, 0.3):
        by_index = cross_entropy(Tensor(x), Tensor(y), label_smoothing=smoothing)
        by_share = cross_entropy(Tensor(x), Tensor(one_hot), label_smoothing=smoothing)
        assert by_index.item() == pytest.approx(by_share.item(), abs=1e-12)


# ---- size, memory, dtypes


def test_each_row_costs_what_it_costs_alone():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((700, 900)).astype(np.float32), rng.integers(0, 900, 700)
    losses = CrossEntropyFunction(label_smoothing=0.1).forward(x, y)
    singly = [CrossEntropyFunction(label_smoothing=0.1).forward(x[i:i + 1], y[i:i + 1])[0] for i in (0, 350, 699)]
    np.testing.assert_allclose(losses[[0, 350, 699]], singly, rtol=1e-6)


def test_inputs_and_saved_arrays_are_left_alone():
    x, y, *_ = case((6, CLASSES))
    view, kept = x[::-1], x.copy()
    operation = CrossEntropyFunction(label_smoothing=0.1)
    operation.forward(view, y)
    gradient = np.ones(6)
    first, second = operation.backward(gradient)[0], operation.backward(gradient)[0]
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(x, kept)
    assert not np.shares_memory(first, second) and (gradient == 1).all()


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_float32_stays_float32_and_no_grad_records_nothing(target, smoothing):
    x, y, ignored, shares, w = case((6, CLASSES), dtype=np.float32)
    chosen = Tensor([y, ignored, shares][target])
    logits = Tensor(x, requires_grad=True)
    loss = cross_entropy(logits, chosen, Tensor(w), label_smoothing=smoothing)
    loss.backward()
    assert loss.dtype == logits.grad.dtype == np.float32
    with no_grad():
        assert not cross_entropy(logits, chosen).requires_grad


# ---- edges


def test_huge_and_tiny_logits():
    x = Tensor(np.array([[1e5, 0.0, -1e5], [-1e30, -1e30, -1e30], [0.0, -np.inf, 1.0]], np.float32), requires_grad=True)
    losses = cross_entropy(x, Tensor([2, 1, 0]), reduction="none")
    losses.sum().backward()
    np.testing.assert_allclose(losses.data, [2e5, math.log(3), math.log(1 + math.e)], rtol=1e-6)
    np.testing.assert_allclose(x.grad.data[0], [1, 0, -1])
    assert np.isfinite(x.grad.data).all()


def test_an_ignored_row_neither_counts_nor_harms():
    x = np.random.default_rng(0).standard_normal((3, CLASSES))
    x[1, 0] = -np.inf
    logits = Tensor(x, requires_grad=True)
    loss = cross_entropy(logits, Tensor([2, -100, 4]))
    loss.backward()
    alone = cross_entropy(Tensor(x[[0, 2]]), Tensor([2, 4]))
    assert loss.item() == pytest.approx(alone.item(), abs=1e-12)
    assert not logits.grad.data[1].any() and np.abs(logits.grad.data[[0, 2]]).min() > 0
    assert cross_entropy(Tensor(x), Tensor([2, 1, 4]), ignore_index=1).item() == pytest.approx(alone.item(), abs=1e-12)
    assert nll_loss(Tensor(x), Tensor([2, -100, 4])).item() == pytest.approx(-(x[0, 2] + x[2, 4]) / 2, abs=1e-12)


def test_nothing_to_average_is_nan_with_gradients_of_zero():
    for target in (np.full(3, -100), np.array([7, 7, 7])):
        logits = Tensor(np.ones((3, CLASSES)), requires_grad=True)
        loss = cross_entropy(logits, Tensor(target), ignore_index=int(target[0]))
        loss.backward()
        assert math.isnan(loss.item()) and not logits.grad.any()
        assert cross_entropy(logits, Tensor(target), ignore_index=int(target[0]), reduction="sum").item() == 0


def test_a_model_that_knows_nothing_has_the_loss_log_c():
    assert cross_entropy(Tensor(np.zeros((4, 7))), Tensor([0, 3, 6, 1])).item() == pytest.approx(math.log(7))


# ---- errors


@pytest.mark.parametrize("loss", [cross_entropy, nll_loss])
@pytest.mark.parametrize("shape, target, error, facts", [
    ((4, 5), [0, 1, 5, 2], IndexError, ["5"]),
    ((4, 5), [0, -1, 2, 2], IndexError, ["-1"]),
    ((2, 3, 2), [[0, 1], [9, 1]], IndexError, ["9", "3"]),
    ((5,), 5, IndexError, ["5"]),
    ((4, 5), [0, 1], ValueError, ["(4, 5)", "(2,)"]),
    ((4, 5), [[0], [1], [2], [3]], ValueError, ["(4, 5)", "(4, 1)"]),
    ((2, 3, 7), [[0, 1, 2], [0, 1, 2]], ValueError, ["(2, 3, 7)", "(2, 3)"]),
    ((), 0, ValueError, [])])
def test_bad_targets_are_named_before_anything_is_computed(loss, shape, target, error, facts):
    x = Tensor(np.zeros(shape), requires_grad=True)
    with pytest.raises(error) as raised:
        loss(x, Tensor(target))
    assert [fact for fact in facts if fact not in str(raised.value)] == []
    assert x.grad is None


def test_float_targets_of_another_shape_and_booleans_are_refused():
    x = Tensor(np.zeros((4, 5)))
    with pytest.raises(ValueError) as raised:
        cross_entropy(x, Tensor([1.0, 2.0, 3.0, 0.0]))
    assert "(4, 5)" in str(raised.value) and "(4,)" in str(raised.value)
    with pytest.raises(TypeError, match="bool"):
        cross_entropy(x, Tensor([True, False, True, True]))
    with pytest.raises(TypeError, match="float32"):
        nll_loss(x, Tensor([1.0, 2.0, 3.0, 0.0]))


def test_bad_options_are_refused():
    x, y = Tensor(np.zeros((4, 5))), Tensor([0, 1, 2, 3])
    with pytest.raises(ValueError, match="weight") as raised:
        cross_entropy(x, y, weight=Tensor(np.ones(4)))
    assert "5" in str(raised.value) and "4" in str(raised.value)
    with pytest.raises(ValueError, match="weight"):
        cross_entropy(x, y, weight=Tensor(np.ones(5), requires_grad=True))
    with pytest.raises(ValueError, match="1.5"):
        cross_entropy(x, y, label_smoothing=1.5)
    for loss in (cross_entropy, nll_loss):
        with pytest.raises(ValueError, match="avg"):
            loss(x, y, reduction="avg")


# ---- beside PyTorch


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients_are_pytorchs(torch, shape, reduction, dtype, tolerance):
    F = torch.nn.functional
    x, y, ignored, shares, w = case(shape, dtype=dtype)
    for target in (y, ignored, shares):
        for weight in (None, w):
            for smoothing in (0.0, 0.1):
                for name in ("cross_entropy", "nll_loss")[:1 if smoothing or target is shares else 2]:
                    option = {"label_smoothing": smoothing} if smoothing else {}
                    ours, theirs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
                    out = {"cross_entropy": cross_entropy, "nll_loss": nll_loss}[name](
                        ours, Tensor(target), None if weight is None else Tensor(weight), reduction=reduction, **option)
                    expected = getattr(F, name)(theirs, torch.tensor(target), None if weight is None else
                                                torch.tensor(weight), reduction=reduction, **option)
                    out.sum().backward()
                    expected.sum().backward()
                    assert out.shape == tuple(expected.shape) and out.dtype == dtype
                    np.testing.assert_allclose(out.data, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
                    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=tolerance, atol=tolerance)


def test_all_ignored_is_what_pytorch_does(torch):
    theirs = torch.ones(3, CLASSES, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(theirs, torch.full((3,), -100))
    expected.backward()
    assert torch.isnan(expected) and not theirs.grad.any()


@pytest.mark.parametrize("module, function, options", [
    (CrossEntropyLoss, cross_entropy, {"label_smoothing": 0.2, "ignore_index": 1}),
    (NLLLoss, nll_loss, {"ignore_index": 1})])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_modules_hand_their_options_on(module, function, options, reduction):
    x, y, _, _, w = case((6, CLASSES))
    options = {**options, "weight": Tensor(w), "reduction": reduction}
    criterion = module(**options)
    np.testing.assert_array_equal(criterion(Tensor(x), Tensor(y)).data, function(Tensor(x), Tensor(y), **options).data)
    assert list(criterion.state_dict()) == ["weight"] and list(module().state_dict()) == []


def test_the_weights_of_a_target_of_probabilities_count():
    logits, truth = Tensor(np.zeros((1, 2))), Tensor(np.array([[0.5, 0.5]]))
    loss = cross_entropy(logits, truth, Tensor(np.array([2.0, 4.0])))
    assert loss.item() == pytest.approx(3 * math.log(2)), "half of 2 log 2 and half of 4 log 2"
