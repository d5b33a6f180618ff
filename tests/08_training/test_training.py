"""The loop: steps, accumulation, clipping, schedules, evaluation, and an honest stop."""
import math

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.data import DataLoader, TensorDataset
from tinytorch.nn import functional as F
from tinytorch.optim import SGD, AdamW, LambdaLR, linear_warmup
from tinytorch.training import accumulate_gradients, accuracy, evaluate, evaluating, train, train_step


def make_model(seed=0):
    tinytorch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 4))


def make_data(n=24, seed=0):
    "Points of four classes that a linear model can tell apart."
    generator = np.random.default_rng(seed)
    points = generator.standard_normal((n, 3)).astype(np.float32)
    return TensorDataset(points, (points @ generator.standard_normal((3, 4))).argmax(axis=1))


def classification(model, inputs, targets):
    return F.cross_entropy(model(inputs), targets)


def weights(model):
    return np.concatenate([p.data.ravel() for p in model.parameters()])


# ---- accumulation

@pytest.mark.parametrize("sizes", [[24], [8, 8, 8], [10, 10, 4], [1] * 24])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_micro_batches_add_up_to_the_large_batch(sizes, dtype):
    points, classes = (t.data for t in make_data(24).tensors)
    model = make_model().to(dtype)
    batches, start = [], 0
    for size in sizes:
        batches.append((Tensor(points[start:start + size].astype(dtype)), Tensor(classes[start:start + size])))
        start += size
    loss = accumulate_gradients(model, batches, classification)
    got = [p.grad.data.copy() for p in model.parameters()]
    model.zero_grad()
    whole = classification(model, Tensor(points.astype(dtype)), Tensor(classes))
    whole.backward()
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    assert loss == pytest.approx(whole.item(), abs=tolerance)
    for gradient, p in zip(got, model.parameters()):
        assert np.abs(p.grad.data).max() > 1e-3 and gradient.dtype == dtype
        np.testing.assert_allclose(gradient, p.grad.data, rtol=0, atol=tolerance)


def test_training_with_accumulation_equals_training_on_large_batches():
    runs = []
    for batch_size, accumulate in ((8, 1), (4, 2), (2, 4)):
        model = make_model()
        optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
        loader = DataLoader(make_data(22), batch_size)  # 22: the last step of an epoch has only 6 examples
        history = train(model, loader, classification, optimizer, epochs=4, accumulate=accumulate, max_norm=0.5)
        runs.append((weights(model), [record["loss"] for record in history]))
    assert len(runs[0][1]) == 12
    for w, losses in runs[1:]:
        np.testing.assert_allclose(w, runs[0][0], atol=1e-6)
        np.testing.assert_allclose(losses, runs[0][1], atol=1e-6)


# ---- the loop

def test_it_learns_and_equals_the_loop_by_hand():
    loader = DataLoader(make_data(), batch_size=8)
    model, by_hand = make_model(), make_model()
    history = train(model, loader, classification, AdamW(model.parameters(), lr=0.05), epochs=20)

    optimizer = AdamW(by_hand.parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = classification(by_hand, inputs, targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())

    assert [record["loss"] for record in history] == losses
    np.testing.assert_array_equal(weights(model), weights(by_hand))
    assert losses[-1] < 0.2 * losses[0] and accuracy(model, loader) > 0.9


def test_every_parameter_moves_in_one_step():
    model = make_model()
    before = model.state_dict()
    batch = next(iter(DataLoader(make_data(), 8)))
    record = train_step(model, [batch], classification, SGD(model.parameters(), lr=0.1))
    assert record.keys() == {"loss", "norm"} and record["loss"] > 0 and record["norm"] > 0
    for name, p in model.named_parameters():
        assert np.abs(p.data - before[name]).max() > 1e-5, f"{name} did not move"


def test_history_tells_step_epoch_rate_loss_and_norm():
    model = make_model()
    optimizer = SGD(model.parameters(), lr=0.4)
    history = train(model, DataLoader(make_data(), 10), classification, optimizer, epochs=2, max_norm=1e-3,
                    schedule=LambdaLR(optimizer, linear_warmup(4)))
    assert [record["step"] for record in history] == [1, 2, 3, 4, 5, 6]
    assert [record["epoch"] for record in history] == [1, 1, 1, 2, 2, 2]
    assert [record["lr"] for record in history] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    assert all(record["norm"] > 1e-3 and math.isfinite(record["loss"]) for record in history)


def test_clipping_bounds_the_step():
    model = make_model()
    before = weights(model)
    train(model, DataLoader(make_data(), 24), classification, SGD(model.parameters(), lr=1.0), steps=1, max_norm=0.01)
    assert np.linalg.norm(weights(model) - before) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("steps, epochs_seen", [(2, [1, 1]), (3, [1, 1, 1]), (7, [1, 1, 1, 2, 2, 2, 3])])
def test_steps_go_over_the_loader_as_often_as_needed(steps, epochs_seen):
    model = make_model()
    history = train(model, DataLoader(make_data(), 8), classification, SGD(model.parameters(), lr=0.1), steps=steps)
    assert [record["epoch"] for record in history] == epochs_seen


def test_any_iterable_of_batches_will_do():
    model = make_model()
    batches = list(DataLoader(make_data(), 8))
    optimizer = SGD(model.parameters(), lr=0.1)
    assert len(train(model, batches, classification, optimizer, epochs=2)) == 6
    assert len(train(model, iter(batches), classification, optimizer, epochs=1)) == 3
    alone = [Tensor(np.ones((2, 3), np.float32))]
    assert len(train(model, alone, lambda model, x: model(x).square().mean(), optimizer, steps=2)) == 2
    assert evaluate(model, alone, lambda model, x: model(x).mean()) == pytest.approx(model(alone[0]).mean().item())


def test_on_step_sees_every_record_and_may_add_to_it():
    def on_step(record):
        assert model.training
        if record["step"] % 2 == 0:
            record["accuracy"] = accuracy(model, loader)

    model, loader = make_model(), DataLoader(make_data(), 8)
    model.eval()
    history = train(model, loader, classification, SGD(model.parameters(), lr=0.1), steps=4, on_step=on_step)
    assert ["accuracy" in record for record in history] == [False, True, False, True]
    assert model.training, "train() puts the model into training mode"


def test_two_runs_from_one_seed_are_equal_bit_for_bit():
    def run():
        tinytorch.manual_seed(3)
        model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 4))
        loader = DataLoader(make_data(), 5, shuffle=True)
        history = train(model, loader, classification, AdamW(model.parameters(), lr=0.01), epochs=3)
        return weights(model), [{k: v for k, v in record.items() if k != "seconds"} for record in history]
    (first, first_history), (second, second_history) = run(), run()
    assert first_history == second_history
    np.testing.assert_array_equal(first, second)


# ---- what stops it

@pytest.mark.parametrize("max_norm", [None, 1.0])
def test_a_gradient_that_is_no_number_stops_also_without_clipping(max_norm):
    model = make_model()
    optimizer = SGD(model.parameters(), lr=0.1)
    batch = next(iter(DataLoader(make_data(), 8)))
    before = weights(model)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="norm.*nan"):
        train_step(model, [batch], lambda model, x, y: (model(x) * 0).sqrt().sum(), optimizer, max_norm)
    np.testing.assert_array_equal(weights(model), before)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_no_number_names_the_step_and_leaves_the_model(bad, accumulate):
    def loss_fn(model, inputs, targets):
        calls.append(weights(model))
        return classification(model, inputs, targets) * (bad if len(calls) == 4 else 1.0)

    calls, model = [], make_model()
    step = {1: 4, 2: 2}[accumulate]
    with pytest.raises(FloatingPointError, match=rf"loss.*{bad}.*step {step}\b"):
        train(model, DataLoader(make_data(), 4), loss_fn, SGD(model.parameters(), lr=0.1), epochs=1,
              accumulate=accumulate)
    np.testing.assert_array_equal(weights(model), calls[-1])


def test_a_gradient_that_is_no_number_stops_before_the_step():
    def loss_fn(model, inputs, targets):
        x = model(inputs)
        return ((x - x) ** 0.5).mean()  # the slope of a square root at 0 is infinite

    model = make_model()
    before = weights(model)
    message = r"norm.*(nan|inf).*step 1\b"
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match=message):
        train(model, DataLoader(make_data(), 8), loss_fn, SGD(model.parameters(), lr=0.1), steps=1, max_norm=1.0)
    np.testing.assert_array_equal(weights(model), before)


@pytest.mark.parametrize("settings, message", [
    ({}, "(?=.*epochs).*steps"),
    ({"epochs": 1, "steps": 1}, "(?=.*epochs).*steps"),
    ({"epochs": 1, "accumulate": 0}, "accumulate.*0"),
])
def test_bad_settings(settings, message):
    model = make_model()
    with pytest.raises(ValueError, match=message):
        train(model, DataLoader(make_data(), 8), classification, SGD(model.parameters(), lr=0.1), **settings)


@pytest.mark.parametrize("loader, epoch", [([], 1), (DataLoader(make_data(3), 4, drop_last=True), 1),
                                           (iter(list(DataLoader(make_data(8), 8))), 2)])
def test_a_loader_that_gives_nothing(loader, epoch):
    model = make_model()
    with pytest.raises(ValueError, match=rf"epoch {epoch}\b"):
        train(model, loader, classification, SGD(model.parameters(), lr=0.1), steps=5)
    with pytest.raises(ValueError):
        evaluate(model, [], classification)


# ---- evaluation

@pytest.mark.parametrize("batch_size", [1, 5, 24, 100])
def test_evaluate_is_the_mean_over_examples_whatever_the_batches(batch_size):
    model, data = make_model(), make_data()
    expected = classification(model, *data.tensors).item()
    assert evaluate(model, DataLoader(data, batch_size), classification) == pytest.approx(expected, rel=1e-5)
    scores = model(data.tensors[0]).data
    share = np.mean(scores.argmax(axis=1) == data.tensors[1].data)
    assert accuracy(model, DataLoader(data, batch_size)) == pytest.approx(share) and 0 < share < 1


def test_evaluation_switches_dropout_off_and_records_nothing():
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 4))
    losses = []

    def loss_fn(model, inputs, targets):
        assert not any(module.training for module in model.modules())
        losses.append(classification(model, inputs, targets))
        return losses[-1]

    loader = DataLoader(make_data(), 24)
    assert evaluate(model, loader, loss_fn) == evaluate(model, loader, loss_fn)
    assert not losses[0].requires_grad and all(p.grad is None for p in model.parameters())


def test_every_module_gets_its_own_mode_back_even_after_an_error():
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5))
    model[1].eval()
    with pytest.raises(RuntimeError, match="broken"), evaluating(model):
        raise RuntimeError("broken")
    assert [module.training for module in model.modules()] == [True, True, False]
    assert tinytorch.is_grad_enabled()


class Echo(nn.Module):
    def forward(self, x):
        return x


def test_accuracy_of_sequences_ignores_padding():
    scores = Tensor(np.eye(3)[[[0, 1, 2, 2], [1, 1, 0, 2]]])  # (B, T, classes) = (2, 4, 3)
    targets = Tensor([[0, 1, 1, -100], [1, 0, 0, -100]])
    assert accuracy(Echo(), [(scores, targets)]) == pytest.approx(4 / 6)
    assert accuracy(Echo(), [(scores, targets)], ignore_index=0) == pytest.approx(2 / 5)


def test_accuracy_refuses_targets_of_another_shape():
    with pytest.raises(ValueError, match=r"\(4, 3\).*\(4, 1\)"):
        accuracy(Echo(), [(Tensor(np.ones((4, 3))), Tensor(np.ones((4, 1), int)))])
    with pytest.raises(ValueError):
        accuracy(Echo(), [(Tensor(np.ones((4, 3))), Tensor(np.full(4, -100)))])
