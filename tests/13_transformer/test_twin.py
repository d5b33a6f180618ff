"""A GPT here and its twin in PyTorch, from the same weights: same logits, same gradients, same training."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor
from tinytorch.nn.losses import cross_entropy
from tinytorch.nn.transformer import GPT, GPTConfig, TransformerBlock, TransformerConfig
from tinytorch.optim import AdamW

SIZE = dict(vocab_size=13, context=10, d_model=12, num_layers=2, num_heads=3)
VARIANTS = [  # every option at least twice, and in changing company
    dict(),
    dict(norm="rms_norm", activation="relu_squared", bias=False),
    dict(positions="rotary", norm="rms_norm", activation="swiglu", bias=False, tied_head=False),
    dict(positions="sinusoidal", activation="relu", pre_norm=False, tied_head=False),
    dict(positions="sinusoidal", norm="rms_norm", activation="gelu"),
    dict(positions="rotary", activation="relu_squared", pre_norm=False),
    dict(positions="learned", norm="rms_norm", activation="swiglu", pre_norm=False, tied_head=False),
    dict(positions="rotary", activation="gelu", tied_head=False),
]
NAMES = ["-".join(map(str, variant.values())) or "gpt2" for variant in VARIANTS]


def batch(seed, B=3, T=7):
    ids = np.random.default_rng(seed).integers(0, SIZE["vocab_size"], (B, T + 1))
    return ids[:, :-1], ids[:, 1:]


def louder(model):
    "Weights five times as large as GPT-2's, so that every part of the model matters."
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data *= 5
    return model


@pytest.fixture
def make():
    "make(variant, dtype): our GPT, built in that dtype from the start (fixed tables are as exact as it is)"
    def make(variant, dtype="float64"):
        tinytorch.set_default_dtype(dtype)
        return louder(GPT(GPTConfig(**SIZE, **variant)))

    yield make
    tinytorch.set_default_dtype("float32")


def our_loss(model, inputs, targets):
    return cross_entropy(model(inputs).reshape(-1, SIZE["vocab_size"]), targets.reshape(-1))


def their_loss(torch, model, inputs, targets):
    return torch.nn.functional.cross_entropy(
        model(torch.tensor(inputs)).reshape(-1, SIZE["vocab_size"]), torch.tensor(targets.reshape(-1)))


@pytest.mark.parametrize("variant", VARIANTS, ids=NAMES)
@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 1e-5)])
def test_logits_and_gradients(torch, twins, make, variant, dtype, tolerance):
    ours = make(variant, dtype)
    theirs = twins.twin_of(ours, **SIZE, **variant)
    inputs, targets = batch(0)
    logits = ours(inputs)
    expected = theirs(torch.tensor(inputs)).detach().numpy()
    assert logits.dtype == dtype
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(logits.data, expected, atol=tolerance)

    our_loss(ours, inputs, targets).backward()
    their_loss(torch, theirs, inputs, targets).backward()
    gradients = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    assert sorted(gradients) == sorted(name for name, _ in ours.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.grad.dtype == dtype, name
        size = np.abs(gradients[name]).max()
        assert size > 1e-6, f"{name}: hardly a gradient"
        error = np.abs(parameter.grad.data - gradients[name]).max() / size
        assert error < (1e-8 if dtype == "float64" else 1e-4), f"{name}: relative error {error:.1e}"


@pytest.mark.parametrize("variant", VARIANTS, ids=NAMES)
def test_twenty_steps_of_adamw(torch, twins, make, variant):
    ours = make(variant)
    theirs = twins.twin_of(ours, **SIZE, **variant)
    start = ours.state_dict()
    our_optimizer = AdamW(ours.parameters(), lr=1e-2)
    their_optimizer = torch.optim.AdamW(theirs.parameters(), lr=1e-2)
    our_curve, their_curve = [], []
    for step in range(20):
        inputs, targets = batch(step % 2)
        loss = our_loss(ours, inputs, targets)
        our_optimizer.zero_grad()
        loss.backward()
        our_optimizer.step()
        our_curve.append(loss.item())

        loss = their_loss(torch, theirs, inputs, targets)
        their_optimizer.zero_grad()
        loss.backward()
        their_optimizer.step()
        their_curve.append(loss.item())
    np.testing.assert_allclose(our_curve, their_curve, rtol=1e-9)
    assert our_curve[-1] < our_curve[0] - 0.2
    for name, tensor in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], tensor.numpy(), atol=1e-8, err_msg=name)
        assert not np.allclose(ours.state_dict()[name], start[name], atol=1e-4), name


def test_encoder_is_the_twin_without_the_causal_mask(torch, twins):
    ours = louder(TransformerBlock(TransformerConfig(d_model=12, num_heads=3))).double()
    theirs = twins.Block(12, 3, 48, "gelu", "layer_norm", True, True, False).double()
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in ours.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((2, 5, 12))
    for is_causal in (False, True):
        np.testing.assert_allclose(ours(Tensor(x), is_causal=is_causal).data,
                                   theirs(torch.tensor(x), is_causal=is_causal).detach().numpy(), atol=1e-12)
