"""A training step of float32 is float32 in every operation, in what each of them saves, in gradients and moments.

One float64 in a formula doubles the time of a step and fails no other test.
"""
import itertools

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn, no_grad
from tinytorch.nn import functional as F
from tinytorch.optim import SGD, AdamW, clip_grad_norm_
from tinytorch.state import observed_by

B, T, D, VOCABULARY = 3, 8, 16, 11


class OnlyFloat32:
    "An observer that fails at the first array of float64 that goes into an operation, comes out, or is kept by it."
    def __init__(self):
        self.halves = 0

    def __call__(self, half, *arrays):
        result = half(*arrays)
        self.halves += 1
        groups = {"received": arrays, "returned": result if isinstance(result, tuple) else (result,),
                  "saved": vars(half.__self__).values()}
        for verb, values in groups.items():
            for value in values:
                for array in value if isinstance(value, (tuple, list)) else (value,):
                    assert getattr(array, "dtype", None) != np.float64, f"{half.__qualname__} {verb} float64"
        return result


def train(model, forward, optimizer):
    "Two whole steps of `model`, everything in them and after them float32."
    targets = np.random.default_rng(0).integers(VOCABULARY, size=B * T)
    targets[0] = -100
    for _ in range(2):
        with observed_by(OnlyFloat32()) as check:
            loss = F.cross_entropy(forward(model).reshape(B * T, -1), Tensor(targets), label_smoothing=0.1)
            loss.backward()
        assert check.halves > 20 and loss.dtype == np.float32
        gradients = {name: p.grad.dtype for name, p in model.named_parameters()}
        assert set(gradients.values()) == {np.dtype(np.float32)}, gradients
        clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()
    assert {p.dtype for p in model.parameters()} == {np.dtype(np.float32)}
    states = optimizer.state_dict()["state"].values()
    assert {m.dtype for state in states for m in state.values() if not isinstance(m, int)} == {np.dtype(np.float32)}


def ids():
    return Tensor(np.random.default_rng(1).integers(VOCABULARY, size=(B, T)))


def gpt(layers, **options):
    return nn.GPT(nn.GPTConfig(vocab_size=VOCABULARY, context=T, d_model=D, num_layers=layers, num_heads=4, **options))


OPTIONS = {
    "positions": ["learned", "sinusoidal", "rotary"],
    "activation": ["gelu", "relu", "relu_squared", "swiglu"],
    "norm": ["layer_norm", "rms_norm"],
    "pre_norm": [True, False],
    "dropout": [0.0, 0.2],
}


@pytest.mark.parametrize("values", list(itertools.product(*OPTIONS.values())), ids=lambda v: "-".join(map(str, v)))
def test_gpt(values):
    options = dict(zip(OPTIONS, values))
    model = gpt(2, bias=options["pre_norm"], tied_head=options["pre_norm"], **options)
    train(model, lambda model: model(ids()), AdamW(model.parameters()))


MASKS = {
    "no mask": None,
    "booleans": Tensor(np.arange(T) < [[[[T]]], [[[3]]], [[[5]]]]),  # (B, 1, 1, T)
    "floats": Tensor(-np.abs(np.arange(T)[:, None] - np.arange(T)), dtype=np.float32),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("activation", ["gelu", "swiglu"])
def test_encoder(mask, activation):
    config = nn.TransformerConfig(d_model=D, num_layers=2, num_heads=4, activation=activation, dropout=0.1)
    model = nn.Sequential(nn.Transformer(config), nn.Linear(D, VOCABULARY))
    x = Tensor(np.random.default_rng(2).standard_normal((B, T, D), dtype=np.float32), requires_grad=True)
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    train(model, lambda model: model[1](model[0](x, attn_mask=MASKS[mask])), optimizer)
    assert x.grad.dtype == np.float32


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Softplus(),
                                        nn.Sigmoid(), nn.Tanh(), nn.Softmax(-1), nn.LogSoftmax(-1), nn.LogSigmoid()],
                         ids=lambda module: repr(module))
def test_activations(activation):
    x = Tensor(np.linspace(-30, 30, 41, dtype=np.float32), requires_grad=True)
    with observed_by(OnlyFloat32()):
        (activation(x) * 2).sum().backward()
    assert x.grad.dtype == np.float32


def test_writing_with_a_cache():
    from tinytorch.generation import KVCache
    for positions in OPTIONS["positions"]:
        model = gpt(2, positions=positions)
        cache = KVCache(model)
        with no_grad(), observed_by(OnlyFloat32()):
            for tokens in (ids()[:, :3], ids()[:, 3:4]):
                assert model(tokens, cache=cache).dtype == np.float32


def test_the_guard_itself_catches_a_leak():
    class Leaky(nn.Module):
        def forward(self, x):
            return x * Tensor(np.float64(0.5))

    model = gpt(1)
    model.transformer.norm = Leaky()
    with pytest.raises(AssertionError, match=r"Mul.forward received float64"):
        train(model, lambda model: model(ids()), AdamW(model.parameters()))


def test_float64_stays_float64_too():
    "The other way round: a model in double must not be rounded on the way."
    model = gpt(1).double()

    def only_float64(half, *arrays):
        result = half(*arrays)
        for array in result if isinstance(result, tuple) else (result,):
            assert getattr(array, "dtype", None) != np.float32, half.__qualname__
        return result

    with observed_by(only_float64):
        F.cross_entropy(model(ids()).flatten(0, 1), tinytorch.zeros(B * T).long()).backward()
    assert {p.grad.dtype for p in model.parameters()} == {np.dtype(np.float64)}
