"""With padding, the whole batch's loss and gradient, however it is cut into micro-batches."""
import math

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn, optim
from tinytorch.nn import functional as F
from tinytorch.training import Trainer, accumulate_gradients, evaluate

rng = np.random.default_rng(0)
IDS, TARGETS = rng.integers(0, 7, (4, 5)), rng.integers(0, 7, (4, 5))
for row, kept in enumerate((5, 1, 2, 0)):  # the last has nothing but padding
    TARGETS[row, kept:] = -100
WEIGHTS = Tensor(np.linspace(0.5, 2, 7, dtype=np.float32))


def model():
    tinytorch.manual_seed(0)
    return nn.Sequential(nn.Embedding(7, 6), nn.Linear(6, 7))


def simple(model, ids, targets):
    return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())


def weighted(model, ids, targets):
    return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten(), weight=WEIGHTS, label_smoothing=0.1)


def nll(model, ids, targets):
    return F.nll_loss(F.log_softmax(model(ids).flatten(0, 1), 1), targets.flatten())


def with_count(model, ids, targets):
    counted = targets.data != -100
    loss = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten(), reduction="sum")
    return loss / max(counted.sum(), 1) + 0.0, counted.sum()


def batches(sizes):
    ends = np.cumsum(sizes)
    return [(Tensor(IDS[end - n:end]), Tensor(TARGETS[end - n:end])) for n, end in zip(sizes, ends)]


def gradient(loss_fn, sizes):
    network = model()
    loss = accumulate_gradients(network, batches(sizes), loss_fn)
    return loss, np.concatenate([np.ravel(np.asarray(p.grad)) for p in network.parameters()])


LOSSES = [simple, weighted, nll, with_count]


@pytest.mark.parametrize("loss_fn", LOSSES)
@pytest.mark.parametrize("sizes", [[1, 1, 1, 1], [2, 2], [1, 3], [3, 1]], ids=str)
def test_the_gradient_of_the_whole_batch(loss_fn, sizes):
    loss, expected = gradient(loss_fn, [4])
    cut_loss, cut = gradient(loss_fn, sizes)
    assert cut_loss == pytest.approx(loss, rel=1e-6)
    np.testing.assert_allclose(cut, expected, atol=1e-6)


@pytest.mark.parametrize("loss_fn", LOSSES)
@pytest.mark.parametrize("sizes", [[1, 1, 1, 1], [2, 2], [3, 1]], ids=str)
def test_evaluation_of_the_whole(loss_fn, sizes):
    network = model()
    assert evaluate(network, batches(sizes), loss_fn) == pytest.approx(evaluate(network, batches([4]), loss_fn))


@pytest.mark.parametrize("loss_fn", LOSSES)
def test_the_trainer_does_the_same_however_a_step_is_cut(loss_fn):
    weights = []
    for sizes, accumulate in (([4], 1), ([2, 2], 2), ([1, 1, 1, 1], 4)):
        network = model()
        optimizer = optim.SGD(network.parameters(), lr=0.5)
        Trainer(network, batches(sizes), loss_fn, optimizer, epochs=3, accumulate=accumulate, show=False).fit()
        weights.append(network[1].weight.data)
    np.testing.assert_allclose(weights[1], weights[0], atol=1e-6)
    np.testing.assert_allclose(weights[2], weights[0], atol=1e-6)


@pytest.mark.parametrize("loss_fn", [simple, with_count])
def test_nothing_but_padding(loss_fn):
    network, only = model(), [(Tensor(IDS), Tensor(np.full((4, 5), -100)))]
    with pytest.raises(ValueError, match="nothing to average"):
        evaluate(network, only, loss_fn)
    with pytest.raises(FloatingPointError, match="loss is nan"):
        accumulate_gradients(network, only, loss_fn)
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("sizes", [[4], [1, 3]], ids=str)
def test_gradients_that_are_there_stay(sizes):
    network = model()
    accumulate_gradients(network, batches([4]), simple)
    once = [np.array(p.grad) for p in network.parameters()]
    accumulate_gradients(network, batches(sizes), simple)
    for p, g in zip(network.parameters(), once):
        np.testing.assert_allclose(np.asarray(p.grad), 2 * g, atol=1e-6)


def test_a_parameter_that_the_model_does_not_know():
    results = []
    for sizes in ([4], [1, 3]):
        network, extra = model(), Tensor([2.0], requires_grad=True)

        def scaled(model, ids, targets, extra=extra):
            return simple(model, ids, targets) * extra.sum(), (targets.data != -100).sum()

        accumulate_gradients(network, batches(sizes), scaled)
        results.append(np.asarray(extra.grad))
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_other_losses_say_what_they_average_over():
    x, y = Tensor(np.ones((2, 3), np.float32)), Tensor(np.zeros((2, 3), np.float32))
    assert F.mse_loss(x, y).mean_over == 6 and not hasattr(F.mse_loss(x, y, reduction="sum"), "mean_over")
    assert F.cross_entropy(x, Tensor([0, -100])).mean_over == 1
    assert F.cross_entropy(x, y).mean_over == 2
    assert math.isnan(F.cross_entropy(x, Tensor([-100, -100])).item())


def test_a_loss_of_nan_leaves_the_gradients_that_were_there():
    network, calls = model(), []
    accumulate_gradients(network, batches([4]), simple)
    before = [np.array(p.grad) for p in network.parameters()]

    def nan_in_the_second(model, ids, targets):
        calls.append(1)
        return simple(model, ids, targets) * (1.0 if len(calls) == 1 else math.nan)

    with pytest.raises(FloatingPointError, match="nan"):
        accumulate_gradients(network, batches([1, 3]), nan_in_the_second)
    assert all(np.array_equal(p.grad, gradient) for p, gradient in zip(network.parameters(), before))
