"""The unit, the plan, the frontier and the overlap, beside what they are said to be."""
import math

import numpy as np
import pytest

import tinytorch
from tinytorch import nn, no_grad
from tinytorch.capstone import nats_per_byte, overlap, pareto_frontier, plan
from tinytorch.counting import multiplied_weights, training_flops
from tinytorch.nn import functional as F
from tinytorch.scaling import multiplied


def gpt(dropout=0.0, vocabulary=11):
    tinytorch.manual_seed(0)
    return nn.GPT(nn.GPTConfig(vocab_size=vocabulary, context=8, d_model=8, num_layers=1, num_heads=2, dropout=dropout))


@pytest.mark.parametrize("length", [2, 8, 9, 10, 17, 30])
def test_windows_are_those_of_a_loop_by_hand(length):
    model, ids = gpt(dropout=0.5), np.random.default_rng(length).integers(11, size=length)
    total, model = 0.0, model.eval()
    with no_grad():
        for start in range(0, length - 1, 8):
            targets = ids[start + 1:start + 9]
            logits = model(ids[start:start + len(targets)][None]).data[0].astype(np.float64)
            total += (np.log(np.exp(logits).sum(-1)) - logits[range(len(targets)), targets]).sum()
    model.train()
    before = [p.data.copy() for p in model.parameters()]
    assert nats_per_byte(model, ids, 8, 3 * length) == pytest.approx(total / (3 * length), rel=1e-5)
    assert all(p.grad is None and np.array_equal(p.data, x) for p, x in zip(model.parameters(), before))
    assert model.training and nats_per_byte(model, ids.astype(np.uint8), 8, 3 * length) == pytest.approx(
        total / (3 * length), rel=1e-5), "dropout rests, and ids of bytes are ids"


def test_fewer_than_two_ids():
    with pytest.raises(ValueError, match="two ids.* 1"):
        nats_per_byte(gpt(), np.zeros(1, np.int64), 8, 1)


def test_the_unit_does_not_depend_on_the_tokens():
    "A model of pairs of bytes that knows as much as one of bytes has twice the loss a token, and the same a byte."
    table = np.random.default_rng(0).standard_normal(4).astype(np.float32)
    shares = np.exp(table) / np.exp(table).sum()

    class Fixed(nn.Module):
        def __init__(self, logits):
            super().__init__()
            self.logits = tinytorch.Tensor(logits.astype(np.float32))
        def forward(self, ids):
            return self.logits.expand(*ids.shape, len(self.logits))

    ids = np.random.default_rng(1).choice(4, size=4001, p=shares)
    pairs = 4 * ids[1::2] + ids[2::2]
    ones = nats_per_byte(Fixed(table), ids, 16, 4000)
    twos = nats_per_byte(Fixed(np.add.outer(table, table).ravel()), np.concatenate([[0], pairs]), 16, 4000)
    assert ones == pytest.approx(twos, rel=1e-4) and ones == pytest.approx(-(shares * np.log(shares)).sum(), rel=0.05)


def test_the_plan_keeps_both_budgets_and_leaves_nothing_larger():
    shapes = [(layers, width) for layers in (1, 2, 4) for width in range(8, 129, 8)]
    for flops in (1e9, 1e10, 1e12):
        for most_bytes in (10_000, 100_000):
            (layers, width), tokens = plan(shapes, flops, most_bytes, 64, 32, bits=4)
            weights = multiplied(layers, width, 64)
            assert training_flops(weights, layers, width, 32, tokens) <= flops and tokens >= 20 * weights
            assert weights / 2 <= most_bytes
            for other in shapes:
                size = multiplied(*other, 64)
                fits = size / 2 <= most_bytes and training_flops(size, *other, 32, 20 * size) <= flops
                assert not fits or size <= weights, f"{other} would have fitted, too"


def test_the_plans_weights_are_those_of_a_model():
    model = nn.GPT(nn.GPTConfig(vocab_size=64, context=32, d_model=24, num_layers=2, num_heads=2))
    weights = multiplied_weights(model)
    assert plan([(2, 24)], 1e12, weights, 64, 32)[0] == (2, 24)
    with pytest.raises(ValueError, match="none"):
        plan([(2, 24)], 1e12, weights - 1, 64, 32)


@pytest.mark.parametrize("seed", range(20))
def test_the_frontier_is_what_nothing_beats(seed):
    generator = np.random.default_rng(seed)
    costs, losses = generator.integers(1, 9, 30).tolist(), generator.integers(1, 9, 30).tolist()
    points = list(zip(costs, losses))
    unbeaten = {(c, x) for c, x in points if not any(d <= c and y <= x and (d, y) != (c, x) for d, y in points)}
    found = pareto_frontier(costs, losses)
    assert [points[i] for i in found] == sorted(unbeaten)
    assert all(points.index(points[i]) == i for i in found), "of equals the first"
    assert pareto_frontier([10 * c for c in costs], [math.exp(x) for x in losses]) == found, "only the order counts"


def test_overlap_sees_through_what_stands_between_words():
    generator = np.random.default_rng(0)
    held = " ".join(f"w{n}" for n in generator.integers(10_000, size=500))
    other = " ".join(f"w{n}" for n in generator.integers(10_000, size=5000))
    assert overlap(other, held) == 0 and overlap(other + held, held) == pytest.approx(492 / 493, abs=1e-9)
    hidden = held.upper().replace(" ", ",\n-- ")
    assert overlap(f"{other} {hidden} {other}", held) == 1
    half = " ".join(held.split()[:250])
    assert overlap(f"{half} {other}", held) == pytest.approx(243 / 493)
    assert overlap(held, f"{half} {other}") < 0.06, "of the held-out text's runs"


def test_overlap_of_stories():
    "Letters of every script are words, and case is folded."
    assert overlap("ΣΟΦΟΣ ὁ μή, Straße", "σοφος ὁ μή strasse", 4) == 1


def test_a_model_that_learned_the_held_out_text_is_found():
    generator = np.random.default_rng(0)
    words = ["ant", "bee", "cow", "dog", "elk", "fox", "gnu", "hen"]
    held, text = (" ".join(words[i] for i in generator.integers(8, size=n)) for n in (40, 200))
    ids = np.frombuffer(held.encode(), np.uint8).astype(np.int64) - 32
    model, losses = gpt(vocabulary=96), []
    optimizer = tinytorch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        windows = np.stack([ids[i:i + 9] for i in generator.integers(len(ids) - 9, size=16)])
        loss = F.cross_entropy(model(windows[:, :-1]).flatten(0, 1), windows[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert nats_per_byte(model, ids, 8, len(ids) - 1) < losses[0] / 2
    assert overlap(text + " " + held, held) == 1 and overlap(text, held) < 0.1
