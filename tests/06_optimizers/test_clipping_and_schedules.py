"""Gradient clipping and the learning rate over time."""
import math

import numpy as np
import pytest

from tinytorch import Tensor
from tinytorch.optim import (
    SGD,
    AdamW,
    LambdaLR,
    clip_grad_norm_,
    linear_warmup,
    total_norm,
    warmup_cosine,
)


def with_gradients(*gradients, dtype=np.float64):
    params = []
    for gradient in gradients:
        params.append(Tensor(np.zeros(np.shape(gradient)), requires_grad=True, dtype=dtype))
        params[-1].grad = np.array(gradient, dtype)
    return params


# ---- clipping

def test_a_long_gradient_keeps_its_direction():
    params = with_gradients([[3.0, 0.0, 0.0]], [0.0, 4.0])
    assert clip_grad_norm_(params, 1.0) == 5.0
    np.testing.assert_allclose(params[0].grad.data, [[0.6, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(params[1].grad.data, [0, 0.8], rtol=1e-6)


def test_a_short_gradient_stays_as_it_is():
    params = with_gradients([0.3], [0.4])
    assert clip_grad_norm_(params, 1.0) == pytest.approx(0.5)
    assert [p.grad.data[0] for p in params] == [0.3, 0.4]


def test_it_works_in_place_on_what_has_a_gradient():
    params = with_gradients([3.0, 4.0]) + [Tensor([1.0], requires_grad=True)]
    gradient = params[0].grad.data
    clip_grad_norm_(iter(params), 1.0)
    assert params[0].grad.data is gradient and gradient[0] < 1 and params[1].grad is None
    assert clip_grad_norm_(params[0], 0.5) == pytest.approx(1.0, rel=1e-5), "one tensor is a list of one"
    assert clip_grad_norm_([params[1]], 1.0) == 0.0


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1e-12, 1.0, 1e12, 1e25, 1e37])
def test_float32_norms_neither_overflow_nor_vanish(scale):
    generator = np.random.default_rng(0)
    gradients = [generator.standard_normal((3, 50)) * scale, generator.standard_normal(7) * scale]
    params = with_gradients(*gradients, dtype=np.float32)
    exact = math.sqrt(sum((p.grad.data.astype(np.float64) ** 2).sum() for p in params))
    norm = clip_grad_norm_(params, exact / 2)
    assert isinstance(norm, float) and norm == pytest.approx(exact, rel=1e-5)
    if scale >= 1e-4:  # PyTorch's 1e-6 in the denominator counts for less
        assert clip_grad_norm_(params, math.inf) == pytest.approx(exact / 2, rel=1e-5)
    assert all(p.grad.dtype == np.float32 for p in params)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_norm_that_is_no_number_is_returned_and_nothing_scaled(bad):
    params = with_gradients([30.0, 40.0], [bad, 1.0], dtype=np.float32)
    norm = clip_grad_norm_(params, 1.0)
    assert not math.isfinite(norm) and math.isnan(norm) == math.isnan(bad)
    assert params[0].grad.tolist() == [30, 40] and params[1].grad.data[1] == 1


def test_nan_beside_inf_is_not_mistaken_for_a_number():
    params = with_gradients([np.inf], [np.nan], [1.0])
    assert not math.isfinite(clip_grad_norm_(params, 1.0))


@pytest.mark.parametrize("max_norm", [0, -1.0, math.nan])
def test_max_norm_must_be_positive(max_norm):
    params = with_gradients([3.0])
    with pytest.raises(ValueError, match="max_norm"):
        clip_grad_norm_(params, max_norm)
    assert params[0].grad.data[0] == 3


def test_total_norm_is_that_of_one_long_vector():
    generator = np.random.default_rng(0)
    arrays = [generator.standard_normal(shape) for shape in ((3, 4), (), (0,), (2, 3, 2))]
    arrays.append(generator.standard_normal((4, 6)).T[::2])  # not contiguous
    assert total_norm(arrays) == pytest.approx(np.linalg.norm(np.concatenate([a.ravel() for a in arrays])))
    assert total_norm([]) == 0.0 and type(total_norm([np.ones(4, np.float32)])) is float


# ---- multipliers

def test_warmup():
    assert [linear_warmup(4)(step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert [linear_warmup(0)(step) for step in (0, 5, 500)] == [1, 1, 1]


def test_warmup_and_half_a_cosine_by_hand():
    slope = math.cos(math.pi / 4)  # a quarter of the way down, and three quarters
    expected = [0.5, 1, 1, 0.6 + 0.4 * slope, 0.6, 0.6 - 0.4 * slope, 0.2, 0.2]
    assert [warmup_cosine(2, 6, floor=0.2)(step) for step in range(8)] == pytest.approx(expected)


@pytest.mark.parametrize("warmup, total, floor", [(10, 50, 0.0), (10, 50, 0.1), (0, 30, 0.2), (49, 50, 0.0)])
def test_warmup_cosine(torch, warmup, total, floor):
    multiplier = warmup_cosine(warmup, total, floor)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total - warmup, eta_min=floor)
    for step in range(total + 20):
        if step < warmup:
            assert multiplier(step) == pytest.approx((step + 1) / warmup)
        elif step <= total:
            assert multiplier(step) == pytest.approx(cosine.get_last_lr()[0], abs=1e-9)
            optimizer.step()
            cosine.step()
        else:
            assert multiplier(step) == pytest.approx(floor, abs=1e-12)


@pytest.mark.parametrize("warmup, total", [(-1, 10), (10, 10), (20, 10)])
def test_warmup_must_end_before_the_run(warmup, total):
    with pytest.raises(ValueError, match=f"{warmup}.*{total}"):
        warmup_cosine(warmup, total)


# ---- LambdaLR

def make_optimizer(**settings):
    a, b = Tensor([0.0], requires_grad=True), Tensor([0.0], requires_grad=True)
    return SGD([{"params": [a]}, {"params": [b], "lr": 0.1}], lr=1.0, **settings)


def test_each_group_follows_from_its_own_rate():
    optimizer = make_optimizer()
    schedule = LambdaLR(optimizer, linear_warmup(4))
    seen = []
    for _ in range(5):
        seen.append(schedule.get_last_lr())
        schedule.step()
    np.testing.assert_allclose(seen, [[0.25, 0.025], [0.5, 0.05], [0.75, 0.075], [1, 0.1], [1, 0.1]])
    assert [group["initial_lr"] for group in optimizer.param_groups] == [1.0, 0.1]


def test_the_rate_in_the_groups_is_the_one_that_is_used():
    optimizer = make_optimizer()
    schedule = LambdaLR(optimizer, lambda step: 1 / (1 + step))
    p = optimizer.param_groups[0]["params"][0]
    for _ in range(3):
        p.grad = np.ones(1, np.float32)
        optimizer.step()
        schedule.step()
    assert p.data[0] == pytest.approx(-(1 + 1 / 2 + 1 / 3))


def test_numpy_rates_do_not_turn_float32_into_float64():
    p = Tensor([1.0], requires_grad=True)
    optimizer = AdamW([p], lr=0.1)
    schedule = LambdaLR(optimizer, lambda step: np.float64(0.5))
    assert type(schedule.get_last_lr()[0]) is float
    p.grad = np.ones(1, np.float32)
    optimizer.step()
    assert p.dtype == np.float32


def test_a_resumed_schedule_goes_on():
    first = LambdaLR(make_optimizer(), warmup_cosine(3, 20))
    for _ in range(7):
        first.step()
    second = LambdaLR(make_optimizer(), warmup_cosine(3, 20))
    second.load_state_dict(first.state_dict())
    assert second.get_last_lr() == first.get_last_lr()
    first.step()
    second.step()
    assert second.get_last_lr() == first.get_last_lr() != [1.0, 0.1]
