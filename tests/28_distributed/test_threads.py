"""Threads that share a step: the numbers of one, and the same again."""
import sys

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.nn import functional as F
from tinytorch.optim import SGD, AdamW
from tinytorch.state import default_generator, observed_by
from tinytorch.threads import blas, blas_threads, keep_threads, one_blas_thread, operations_of, twin_of
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


@pytest.mark.parametrize("threads", [0, -1, "many", 1.5])
def test_how_many_threads(threads):
    model = gpt()
    with pytest.raises((TypeError, ValueError), match="threads"):
        Trainer(model, [ids(4)], language_loss, AdamW(model.parameters()), steps=1, threads=threads)


# ---- how many are chosen

@pytest.fixture
def two():
    "BLAS has two threads, as it might without the limit that all tests have."
    if blas() is None:
        pytest.skip("threads of BLAS: install threadpoolctl")
    with blas().limit(limits=2):
        yield


def wide(*others):
    "A model whose steps of 400 rows take 2.4e9 operations."
    tinytorch.manual_seed(0)
    return nn.Sequential(nn.Linear(1000, 1000), *others)


def mean_square(model, x, y):
    return ((model(x) - y) ** 2).mean()


WIDE = TensorDataset(*Tensor(np.random.default_rng(0).standard_normal((2, 400, 1000)).astype(np.float32)))


def chosen(model, loss_fn=mean_square, steps=2, threads="auto", data=WIDE, **options):
    "Return (threads after some steps, the weights, the next random number, the trainer)."
    trainer = Trainer(model, DataLoader(data, len(data)), loss_fn, SGD(model.parameters(), lr=0.1), steps=steps,
                      threads=threads, show=False, **options)
    trainer.fit()
    return trainer.threads, trainer.model.state_dict(), default_generator().random(), trainer


def same(some, others):
    return all(np.array_equal(array, others[name]) for name, array in some.items())


def test_a_large_step_is_shared_and_a_small_one_is_not(two):
    (count, weights, after, _), (_, wanted, after_two, _) = (chosen(wide(), threads=t) for t in ("auto", 2))
    assert count == 2 and same(weights, wanted) and after == after_two, "bit for bit those of two threads"
    few = TensorDataset(*(array[:100] for array in WIDE.tensors))
    assert chosen(wide(), data=few)[0] == 1


def test_operations_of_a_step():
    x, y = ids(4)
    matrices = sum(p.numel() for p in gpt().parameters() if p.ndim > 1)
    assert operations_of(gpt(), [(x, y)] * 3) == 6 * matrices * 32 * 3, "32 targets in each of three batches"
    convolution = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Linear(7, 2))
    images = (Tensor(np.zeros((2, 3, 10, 11), np.float32)), Tensor(np.zeros(2, np.int64)))
    assert operations_of(convolution, [images]) == 6 * (5 * 3 * 9 * 2 * 110 + 14 * 2)


def test_one_thread_has_one_of_blas_and_none_leaves_it_alone(two):
    seen = []

    def noting(model, x, y):
        seen.append(blas_threads())
        return mean_square(model, x, y)

    few = TensorDataset(*(array[:100] for array in WIDE.tensors))
    for threads, wanted in (("auto", 1), (1, 1), (None, 2)):
        chosen(wide(), noting, steps=1, data=few, threads=threads)
        assert seen.pop() == wanted and not seen and blas_threads() == 2


class Masked(nn.Module):
    def __init__(self):
        self.inside = wide()
        self.inside.register_forward_hook(lambda *_: None)

    def forward(self, x):
        return self.inside(x)


def with_a_gradient_hook():
    model = wide()
    model[0].bias.register_hook(lambda gradient: gradient * 2)
    return model


def around(model):
    return lambda _, x, y: mean_square(model, x, y)


def test_what_does_not_add_up_is_not_shared(two):
    cases = {"dropout": lambda: (wide(nn.Dropout(0.01)), mean_square),
             "batch norm": lambda: (wide(nn.BatchNorm1d(1000)), mean_square),
             "a sum": lambda: (wide(), lambda model, x, y: ((model(x) - y) ** 2).sum() / 1e5),
             "half of the rows": lambda: (wide(), lambda model, x, y: mean_square(model, x.reshape(400, 1000), y)),
             "another model than its argument": lambda: (model := wide(), around(model))}
    for name, make in cases.items():
        (count, weights, after, _), (_, wanted, after_one, _) = (chosen(*make(), threads=t) for t in ("auto", None))
        assert count is None, name
        assert same(weights, wanted) and after == after_one, name


def test_what_looks_at_a_step_sees_all_of_it():
    for make in (Masked, with_a_gradient_hook):
        results = [chosen(make(), threads=t, steps=1) for t in (2, None)]
        assert same(results[0][1], results[1][1])
    halves = []
    with observed_by(lambda half, *arrays: halves.append(np.shape(arrays[0])[:1]) or half(*arrays)):
        accumulate_gradients(wide(), [WIDE.tensors], mean_square, threads=2)
    assert halves[0] == (400,)


def test_without_threadpoolctl_there_is_one_thread(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    blas.cache_clear()
    try:
        assert blas_threads() == 1 and chosen(wide(), steps=1)[0] is None
    finally:
        monkeypatch.undo()
        blas.cache_clear()


def test_limits_that_overlap_leave_what_was(two):
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__(), second.__enter__()
    first.__exit__(None, None, None)
    assert blas_threads() == 1
    second.__exit__(None, None, None)
    assert blas_threads() == 2


def test_a_resumed_run_keeps_what_was_chosen(two, tmp_path):
    whole = chosen(wide(), steps=4)[1]
    assert chosen(wide(), folder=tmp_path)[0] == 2
    trainer = chosen(wide(), steps=1)[3]
    trainer.steps, trainer.folder, trainer.threads = 4, tmp_path, "auto"
    with blas().limit(limits=1):
        trainer.resume().fit()
    assert trainer.threads == 2 and same(whole, trainer.model.state_dict())
    for text in ("{", "[]", '{"threads": true}', '{"threads": -3}', "{}"):
        (tmp_path / "status.json").write_text(text)
        trainer.threads = "auto"
        keep_threads(trainer)
        assert trainer.threads in (None, "auto") and (text == "{" or text == "[]") == (trainer.threads == "auto")
