"""Nothing of a step outlives it: no graph, no cycles for the garbage collector, no memory that grows."""
import gc
import tracemalloc
import weakref
from contextlib import contextmanager

import numpy as np
import pytest

from tinytorch import Tensor, nn
from tinytorch.nn import functional as F
from tinytorch.optim import SGD, Adam, AdamW, LambdaLR, linear_warmup
from tinytorch.state import observed_by
from tinytorch.training import evaluate, train_step

VOCABULARY, T = 11, 8


@contextmanager
def collector_off():
    """Without the garbage collector, whatever is in a cycle stays until somebody calls gc.collect().

    What is there already (other tests leave things behind) is frozen: gc.collect() then speaks only of what is new.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def batch():
    rng = np.random.default_rng(0)
    return tuple(Tensor(rng.integers(VOCABULARY, size=(4, T))) for _ in range(2))


def loss_fn(model, ids, targets):
    return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())


MODELS = {
    "GPT-2": {},
    "modern": {"positions": "rotary", "activation": "swiglu", "norm": "rms_norm", "bias": False},
    "2017": {"positions": "sinusoidal", "activation": "relu", "pre_norm": False, "dropout": 0.1},
}


def make(name, layers=2):
    sizes = dict(vocab_size=VOCABULARY, context=T, d_model=16, num_layers=layers, num_heads=2)
    return nn.GPT(nn.GPTConfig(**sizes, **MODELS[name]))


class Census:
    "An observer that remembers every operation and its result weakly."
    def __init__(self):
        self.seen = []

    def __call__(self, half, *arrays):
        result = half(*arrays)
        self.seen.append(weakref.ref(half.__self__))
        self.seen += [weakref.ref(a) for a in (result if isinstance(result, tuple) else (result,))
                      if isinstance(a, np.ndarray)]
        return result

    def alive(self):
        return [thing() for thing in self.seen if thing() is not None]


@pytest.mark.parametrize("name", MODELS)
def test_memory_is_flat_over_200_steps(name):
    model = make(name, layers=1)
    optimizer = AdamW(model.parameters())
    schedule = LambdaLR(optimizer, linear_warmup(10))
    in_use = []
    train_step(model, [batch()], loss_fn, optimizer, max_norm=1.0)  # the first one may import and build tables
    with collector_off():
        tracemalloc.start()
        try:
            for number in range(1, 201):
                train_step(model, [batch()], loss_fn, optimizer, max_norm=1.0)
                schedule.step()
                if number % 50 == 0:
                    assert gc.collect() == 0  # finds nothing, but empties Python's stock of tuples for reuse
                    in_use.append(tracemalloc.get_traced_memory()[0])
        finally:
            tracemalloc.stop()
    # NumPy keeps stocks of its own, which fill ever more slowly: 100 bytes a step here. One Function would be 400.
    assert max(in_use) - in_use[0] < 150 * 200, f"bytes in use after 50, 100, 150, 200 steps: {in_use}"


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("optimize", [SGD, Adam, AdamW])
def test_no_cycles(name, optimize):
    model = make(name)
    optimizer = optimize(model.parameters(), lr=1e-3)
    train_step(model, [batch()], loss_fn, optimizer)
    with collector_off():
        for _ in range(3):
            train_step(model, [batch()], loss_fn, optimizer, max_norm=1.0)
        evaluate(model, [batch()], loss_fn)
        assert gc.collect() == 0, "a step made cycles of references, which only the garbage collector can free"


def test_no_operation_outlives_its_step():
    "Parameters, gradients, optimizer and state_dicts hold arrays, and no way back to the graph that made them."
    model, census = make("GPT-2"), Census()
    optimizer = AdamW(model.parameters())
    with collector_off():
        with observed_by(census):
            loss = loss_fn(model, *batch())
            loss.backward()
        optimizer.step()
        kept = model.state_dict(), optimizer.state_dict()
        leaves = {id(p.grad.data) for p in model.parameters()}
        alive = [thing for thing in census.alive() if id(thing) not in leaves]
        assert alive and all(thing is loss.grad_fn or thing is loss.data for thing in alive), \
            "once it is walked, the graph keeps nothing: its root is all that the loss still holds"
        del loss, alive
        optimizer.zero_grad()
        assert len(census.seen) > 100 and not census.alive()
        del kept


def test_a_graph_that_is_never_walked_goes_with_its_result():
    model, census = make("modern"), Census()
    with collector_off():
        with observed_by(census):
            loss = loss_fn(model, *batch())
        assert len(census.alive()) > 30, "as long as there is a loss it can be walked"
        del loss
        assert not census.alive()


def test_evaluation_keeps_nothing_while_it_runs():
    model, census = make("GPT-2"), Census()
    with collector_off(), observed_by(census):
        evaluate(model, [batch()] * 3, loss_fn)
        assert len(census.seen) > 100 and not census.alive()
