"""A teacher's doubts: the loss and its gradient, and a student that is better for them."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.distillation import Distillation, distillation_loss
from tinytorch.gradcheck import gradcheck
from tinytorch.nn import functional as F
from tinytorch.optim import AdamW


def real(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 10.0])
def test_the_gradient(temperature):
    teacher = real(4, 5, seed=1)
    gradcheck(lambda x: distillation_loss(x, teacher, temperature), real(4, 5))
    assert teacher.grad is None


@pytest.mark.parametrize("temperature", [0.5, 3.0])
def test_zero_only_where_both_agree(temperature):
    x = real(3, 4)
    assert distillation_loss(x, x + 7.0, temperature).item() == pytest.approx(0, abs=1e-12), "a shift changes nothing"
    assert distillation_loss(x, real(3, 4, seed=1), temperature).item() > 0.01


def test_the_teachers_probabilities_weigh():
    "KL(p || q) of p = (0.9, 0.1) and q = (0.5, 0.5), which is not that of q and p"
    loss = distillation_loss(Tensor([[0.0, 0.0]]), Tensor(np.log([[0.9, 0.1]])), 1.0)
    assert loss.item() == pytest.approx(0.9 * np.log(1.8) + 0.1 * np.log(0.2), rel=1e-5)


def test_in_the_limit_of_high_temperatures_logits_are_matched():
    "Hinton et al. (2015), equation 4: half of the mean square of centered differences, a class"
    x, teacher = real(6, 5), real(6, 5, seed=1)
    centered = [logits.data - logits.data.mean(1, keepdims=True) for logits in (x, teacher)]
    expected = 0.5 * ((centered[0] - centered[1]) ** 2).sum(1).mean() / 5
    assert distillation_loss(x, teacher, 1e3).item() == pytest.approx(expected, rel=1e-2)


def test_huge_logits():
    x = Tensor(np.array([[1e4, 0.0, -1e4]], np.float32), requires_grad=True)
    loss = distillation_loss(x, Tensor(np.array([[-1e4, 0.0, 1e4]], np.float32)))
    loss.backward()
    assert np.isfinite(loss.item()) and np.isfinite(x.grad.data).all() and loss.dtype == np.float32


@pytest.mark.parametrize("call, says", [
    (lambda: distillation_loss(real(2, 3), real(2, 4)), r"\(2, 3\).*\(2, 4\)"),
    (lambda: distillation_loss(real(2, 3), real(2, 3), 0.0), "temperature is 0"),
    (lambda: Distillation(None, 2.0, 1.5), "share.*1.5"), (lambda: Distillation(None, 2.0, -1), "share.*-1")])
def test_what_cannot_be(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def gpt(width, seed, dropout=0.0):
    tinytorch.manual_seed(seed)
    return nn.GPT(nn.GPTConfig(vocab_size=7, context=12, d_model=width, num_heads=2, dropout=dropout))


def test_the_teacher_stays_as_it_is():
    teacher, student = gpt(16, 0, dropout=0.5), gpt(8, 1)
    ids, targets = (Tensor(np.random.default_rng(i).integers(7, size=(3, 12))) for i in range(2))
    loss, before = Distillation(teacher, 2.0, 0.7), [p.data.copy() for p in teacher.parameters()]
    first, again = (loss(student, ids, targets) for _ in range(2))
    first.backward()
    assert first.item() == again.item(), "in eval mode: without dropout"
    assert teacher.training and all(p.grad is None for p in teacher.parameters())
    assert all(np.array_equal(p.data, old) for p, old in zip(teacher.parameters(), before))
    assert all(p.grad is not None for p in student.parameters())


def counting(count, generator):
    starts, steps = generator.integers(7, size=(count, 1)), generator.integers(1, 4, (count, 1))
    noise = generator.random((count, 13)) < 0.3
    return np.where(noise, generator.integers(7, size=(count, 13)), (starts + steps * np.arange(13)) % 7)


def taught(student, loss_fn, steps, seed=0):
    optimizer, generator = AdamW(student.parameters(), lr=5e-3), np.random.default_rng(seed)
    for _ in range(steps):
        batch = counting(8, generator)
        loss = loss_fn(student, Tensor(batch[:, :-1]), Tensor(batch[:, 1:]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    held_out = counting(200, np.random.default_rng(99))
    return cross_entropy(student, Tensor(held_out[:, :-1]), Tensor(held_out[:, 1:])).item()


def cross_entropy(model, ids, targets):
    return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())


def test_a_taught_student_is_better_and_one_of_an_ignorant_teacher_is_worse():
    teacher, ignorant = gpt(32, 0), gpt(32, 5)
    taught(teacher, cross_entropy, 400, seed=9)
    alone, distilled, misled = (taught(gpt(8, 1), loss_fn, 80) for loss_fn in (
        cross_entropy, Distillation(teacher, 1.0, 1.0), Distillation(ignorant, 1.0, 1.0)))
    assert distilled < alone - 0.02 and misled > alone + 0.05, f"{distilled:.3f}, {alone:.3f}, {misled:.3f}"
