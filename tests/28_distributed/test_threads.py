"""Threads that share a step: the numbers of one, and the same again."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.nn import functional as F
from tinytorch.optim import AdamW
from tinytorch.state import default_generator
from tinytorch.threads import twin_of
from tinytorch.training import Trainer, accumulate_gradients, train


def language_loss(model, ids, targets, **options):
    return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten(), **options)


def gpt(dtype=np.float64, **options):
    tinytorch.manual_seed(0)
    return nn.GPT(nn.GPTConfig(vocab_size=11, context=8, d_model=16, num_layers=2, num_heads=2, **options)).to(dtype)


def ids(rows, seed=0):
    numbers = np.random.default_rng(seed).integers(0, 11, (rows, 9))
    return Tensor(numbers[:, :-1]), Tensor(numbers[:, 1:])


def gradients(threads, batches, loss_fn=language_loss, before=None):
    model = gpt()
    for p in model.parameters():
        p.grad = None if before is None else Tensor(np.full(p.shape, before))
    loss = accumulate_gradients(model, batches, loss_fn, threads=threads)
    return loss, [p.grad.data for p in model.parameters()]


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("rows", [(8,), (5,), (1,), (4, 3), (7, 1, 6)])
def test_gradients_are_those_of_one_thread(rows, threads):
    batches = [ids(count, seed) for seed, count in enumerate(rows)]
    (loss, wanted), (got, found), (_, again) = (gradients(n, batches) for n in (1, threads, threads))
    assert got == pytest.approx(loss, abs=1e-13)
    for a, b, c in zip(wanted, found, again):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)
        assert np.array_equal(b, c), "the same from run to run"


def test_targets_that_do_not_count_and_gradients_that_were_there():
    x, y = ids(6)
    y.data[:3] = -100  # nothing counts in the first half
    y.data[4, 2:] = -100
    (loss, wanted), (got, found) = (gradients(n, [(x, y)], before=0.5) for n in (1, 2))
    assert got == pytest.approx(loss, abs=1e-13)
    for a, b in zip(wanted, found):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_nothing_counts_and_nan():
    x, y = ids(4)
    model = gpt()
    for p in model.parameters():
        p.grad = Tensor(np.ones(p.shape))

    def nan_in_the_second_part(model, x, y):
        loss = language_loss(model, x, y)
        return loss * np.nan if np.array_equal(x.data[0], ids(4)[0].data[2]) else loss

    for loss_fn, targets in ((language_loss, Tensor(np.full(y.shape, -100))), (nan_in_the_second_part, y)):
        with pytest.raises(FloatingPointError, match="the loss is nan"):
            accumulate_gradients(model, [(x, targets)], loss_fn, threads=2)
        assert all((p.grad.data == 1).all() for p in model.parameters()), "as they were"


def test_an_error_in_one_thread_is_raised():
    def fails(model, x, y):
        if np.array_equal(x.data[0], ids(4)[0].data[2]):
            raise KeyError("boom")
        return language_loss(model, x, y)
    with pytest.raises(KeyError, match="boom"):
        gradients(2, [ids(4)], fails)


def trained(threads, steps=30, **options):
    model = gpt(**options)
    x, y = ids(40)
    loader = DataLoader(TensorDataset(x, y), 8, shuffle=True)
    history = train(model, loader, language_loss, AdamW(model.parameters(), lr=1e-2), steps=steps, threads=threads)
    return [record["loss"] for record in history], model, default_generator().random()


def test_a_run_is_that_of_one_thread():
    (one, _, after), (two, _, after_two) = trained(1), trained(2)
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-6)
    assert after == after_two, "the library's numbers go on as with one thread"


def test_dropout_differs_between_parts_and_steps_and_not_between_runs():
    (one, _, first), (two, _, again) = (trained(2, dropout=0.5) for _ in range(2))
    assert one == two and first == again
    masks = []

    class Noted(nn.Module):
        def __init__(self):
            self.weight, self.dropout = nn.Parameter(np.ones(50)), nn.Dropout(0.5)

        def forward(self, x):
            out = self.dropout(x * self.weight)
            masks.append(out.data.astype(bool).tobytes())
            return out

    model = Noted()
    for _ in range(2):
        accumulate_gradients(model, [(Tensor(np.ones((2, 50))),)], lambda model, x: model(x).mean(), threads=2)
    assert len(set(masks)) == 4


def test_a_twin_shares_numbers_and_no_gradients():
    model = nn.Sequential(gpt(tied_head=True), nn.BatchNorm1d(3))
    twin = twin_of(model)
    assert list(twin.state_dict()) == list(model.state_dict())
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        assert p is not q and p.data is q.data and p.requires_grad == q.requires_grad
    for a, b in zip(model.buffers(), twin.buffers()):
        assert a is not b and not np.shares_memory(a.data, b.data)
    assert twin[0].head.weight is twin[0].token_embedding.weight


def test_how_many_threads():
    model = gpt()
    with pytest.raises((TypeError, ValueError), match="threads"):
        Trainer(model, [ids(4)], language_loss, AdamW(model.parameters()), steps=1, threads=0)
