"""What a training step of a GPT may cost with NumPy's fast forms, counted, not timed: operations, bytes, visits.

Whoever makes a block cheaper lowers the numbers here; whoever makes it dearer has to say why.
"""
import tracemalloc
from collections import Counter

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, fast, nn
from tinytorch.nn import functional as F
from tinytorch.profiling import Scales, label
from tinytorch.state import observed_by

B, T, D, H, VOCABULARY = 16, 64, 128, 8, 50
UNIT = 4 * B * T * D  # bytes of one (B, T, D) array of float32
WEIGHTS = H * T / D  # units of one (B, H, T, T) array: the attention weights


@pytest.fixture(autouse=True)
def tuned():
    with fast.use("numpy"):
        yield


def step(model, size=B):
    rng = np.random.default_rng(0)
    ids, targets = (Tensor(rng.integers(VOCABULARY, size=(size, T))) for _ in range(2))
    loss = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
    loss.backward()


def watched(observer, layers, size=B, **options):
    tinytorch.manual_seed(0)
    model = nn.GPT(nn.GPTConfig(vocab_size=VOCABULARY, context=T, d_model=D, num_layers=layers, num_heads=H, **options))
    with observed_by(observer):
        step(model, size)
    return observer


class Count(Counter):
    "An observer: how often each half of each kind of operation ran."
    def __call__(self, half, *arrays):
        self[label(half)] += 1
        return half(*arrays)


# ---- operations

AROUND = {"Embedding": 1, "Index": 1, "Add": 1, "LayerNorm": 1, "Linear": 1, "Reshape": 2, "CrossEntropy": 1}
BLOCK = {"LayerNorm": 2, "Linear": 4, "Attention": 1, "TanhGelu": 1, "Add": 2}
TABLE = {  # options: changes to BLOCK, changes to AROUND
    "GPT-2": ({}, {}, {}),
    "no biases": ({"bias": False}, {}, {}),
    "post-norm": ({"pre_norm": False}, {}, {"LayerNorm": 0}),
    "rms_norm": ({"norm": "rms_norm"}, {"LayerNorm": 0, "RMSNorm": 2}, {"LayerNorm": 0, "RMSNorm": 1}),
    "relu": ({"activation": "relu"}, {"TanhGelu": 0, "Relu": 1}, {}),
    "relu_squared": ({"activation": "relu_squared"}, {"TanhGelu": 0, "ReluSquared": 1}, {}),
    "swiglu": ({"activation": "swiglu"}, {"TanhGelu": 0, "SiLU": 1, "Mul": 1, "Linear": 5}, {}),
    "dropout": ({"dropout": 0.1}, {"Mul": 2}, {"Mul": 1}),
    "sinusoidal": ({"positions": "sinusoidal"}, {}, {"Mul": 1}),
    "rotary": ({"positions": "rotary"}, {}, {"Index": 0, "Add": 0}),
}


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("layers", [1, 3])
def test_operations_of_a_step(name, layers):
    options, block, around = TABLE[name]
    expected = Counter({name: layers * count for name, count in (BLOCK | block).items()})
    expected += Counter(AROUND | around)
    found = watched(Count(), layers, size=1, **options)
    assert Counter({name: n for (name, half), n in found.items() if half == "forward"}) == expected
    not_trained = Counter(["Reshape", "Index"] if name == "sinusoidal" else ["Reshape"])  # of targets, of positions
    assert Counter({name: n for (name, half), n in found.items() if half == "backward"}) == expected - not_trained


# ---- bytes

SAVED = {  # units of (B, T, D) that each kind of operation of a block leaves for backward, its results included
    "LayerNorm": 2 * 2,  # the result and the normalized rows
    "Linear": 3 + 1 + 4 + 1,  # query, key and value; out_proj; fc1; fc2
    "Attention": 1 + 0.75 * WEIGHTS,  # of two blocks of queries, the first sees half of the keys
    "TanhGelu": 2 * 4,  # the value and the slope
    "Add": 2 * 1,
}
ALLOCATED = {  # and the most that they need at once, added up over forward and backward
    "LayerNorm": (4.2, 4.2),  # two; in the backward pass dx, and once what is subtracted from it
    "Linear": (9.3, 8.6),  # backward: dx; the products with few rows are small
    "Attention": (8.2, 8.1),  # forward: result, weights, and while these are made copies of query and halves
    "TanhGelu": (8.6, 4.1),
    "Add": (2.1, 0.1),  # backward hands on what it got
}


def bytes_of(**options):
    "(saved, allocated) of one block in units, by label: the difference between three blocks and one."
    tracemalloc.start()
    try:
        watched(Scales(), 1, size=1, **options)  # what is made once, such as caches of Python
        one, three = (watched(Scales(), layers, **options) for layers in (1, 3))
    finally:
        tracemalloc.stop()
    return [{key: (getattr(three, name)[key] - getattr(one, name)[key]) / 2 / UNIT for key in three.calls}
            for name in ("saved", "allocated")]


def test_bytes_of_a_block():
    saved, allocated = bytes_of()
    assert {name for name, half in saved if saved[name, half] > 0.1 and half == "forward"} == set(SAVED)
    for name, units in SAVED.items():
        assert saved[name, "forward"] == pytest.approx(units, abs=0.1), f"{name} saves another number of arrays"
        for half, most in zip(("forward", "backward"), ALLOCATED[name]):
            assert allocated[name, half] <= most, f"{name}.{half} allocates {allocated[name, half]:.2f} units"


@pytest.mark.parametrize("name, saved_units, allocated_units", [
    ("GPT-2", 24 + WEIGHTS, 57), ("no biases", 24 + WEIGHTS, 57), ("post-norm", 24 + WEIGHTS, 57),
    ("rms_norm", 24 + WEIGHTS, 57), ("relu", 20 + WEIGHTS, 54), ("relu_squared", 24 + WEIGHTS, 57),
    ("swiglu", 25.4 + WEIGHTS, 62.5), ("dropout", 26 + 2 * WEIGHTS, 67), ("rotary", 26 + WEIGHTS, 69)])
def test_bytes_of_a_block_in_all(name, saved_units, allocated_units):
    "One more array of (B, T, D) per block is too much; one of (B, T, 4D) is four."
    saved, allocated = bytes_of(**TABLE[name][0])
    assert sum(units for (_, half), units in saved.items() if half == "forward") <= saved_units + 0.5
    assert sum(allocated.values()) <= allocated_units + 0.5


def test_peak_of_a_step():
    """A block holds 16 + WEIGHTS units until the backward pass, less than its operations saved: results that
    nobody needs again, such as fc1's, are freed at once. The backward pass frees faster than it allocates."""
    tinytorch.manual_seed(0)
    model = nn.GPT(nn.GPTConfig(vocab_size=VOCABULARY, context=T, d_model=D, num_layers=4, num_heads=H))
    step(model)
    model.zero_grad()
    tracemalloc.start()
    try:
        step(model)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    gradients = sum(p.data.nbytes for p in model.parameters())
    assert peak / UNIT < 4 * (16 + WEIGHTS) + 8, "8: embedding, held by the call of its blocks, last norm, head, loss"
    assert after < gradients + 50_000, "after the step only gradients are left"


# ---- the backward pass

def visits(build):
    "How often `backward` ran for each operation that was recorded, by identity; `build` returns a Tensor."
    counts, made = Counter(), []

    def count(half, *arrays):
        if half.__name__ == "forward":
            made.append(half.__self__)
        else:
            counts[half.__self__] += 1
        return half(*arrays)

    with observed_by(count):
        out = build()
        recorded = [operation for operation in made if operation.parents is not None]
        out.backward(np.ones_like(out.data))
    return [counts[operation] for operation in recorded]


def doubling(n):
    x = Tensor([0.0], requires_grad=True)
    for _ in range(n):
        x = x + x * 0.5  # 2^n paths
    return x


def residual_lattice(n):
    x, y = Tensor([0.1], requires_grad=True), Tensor([0.2], requires_grad=True)
    for _ in range(n):
        x, y = x * y - x, (x + y) * 0.4
    return (x * y).tanh()


def whole_step():
    options = dict(positions="rotary", activation="swiglu", dropout=0.1)
    model = nn.GPT(nn.GPTConfig(vocab_size=VOCABULARY, context=T, d_model=16, num_layers=3, num_heads=2, **options))
    ids = Tensor(np.random.default_rng(0).integers(VOCABULARY, size=(2, 8)))
    return F.cross_entropy(model(ids).flatten(0, 1), ids.flatten())


@pytest.mark.parametrize("build, operations", [(lambda: doubling(200), 400), (lambda: residual_lattice(200), 802),
                                               (whole_step, 48)], ids=["doubling", "lattice", "GPT"])
def test_backward_visits_each_operation_once(build, operations):
    counts = visits(build)
    assert len(counts) >= operations and set(counts) == {1}
