"""200 steps of real training, here and in PyTorch: for every variant of the block the two loss curves coincide.

Both sides start from the same state_dict and see the same text; what differs is all the code in between. Here: `train`
with our AdamW, warm-up and cosine, clipping and two micro-batches a step. There: the same, written out with torch.
"""
import argparse
import os
from pathlib import Path

import numpy as np
import pytest

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.optim import AdamW, LambdaLR, warmup_cosine
from tinytorch.training import train

VARIANTS = {
    "gpt2": {},
    "rms_norm": dict(norm="rms_norm"),
    "relu_squared": dict(activation="relu_squared"),
    "swiglu": dict(activation="swiglu"),
    "sinusoidal": dict(positions="sinusoidal"),
    "rotary": dict(positions="rotary"),
    "post_norm": dict(pre_norm=False),
    "untied": dict(tied_head=False),
    "modern": dict(norm="rms_norm", activation="swiglu", positions="rotary", bias=False, tied_head=False),
}
SIZE = dict(context=16, d_model=32, num_layers=2, num_heads=4)
STEPS, ACCUMULATE, BATCH = 200, 2, 8
LR, BETAS, WARMUP, MAX_NORM = 2e-3, (0.9, 0.99), 20, 0.8

# what "equal" means: logits (absolute, or relative to the largest if that is above 1), gradients (relative), losses
LOGITS = {"float64": 1e-10, "float32": 1e-5}
GRADIENTS = {"float64": 1e-8, "float32": 1e-5}
LOSSES = {"float64": 1e-10, "float32": 1e-3}


@pytest.fixture(scope="module")
def text():
    "Real text as (ids, how many characters there are): Shakespeare where we have it, else a file of Python's library."
    shakespeare = Path(os.environ.get("TINYTORCH_DATA", "no such folder"), "tinyshakespeare.txt")
    source = shakespeare if shakespeare.exists() else Path(argparse.__file__)
    characters, ids = np.unique(list(source.read_text(encoding="utf-8")[:30_000]), return_inverse=True)
    return ids, len(characters)


def batches_of(ids, count, seed=0):
    "`count` micro-batches of random windows: (inputs, targets), each (BATCH, context)."
    starts = np.random.default_rng(seed).integers(0, len(ids) - SIZE["context"], (count, BATCH, 1))
    windows = ids[starts + np.arange(SIZE["context"] + 1)]
    return [(window[:, :-1], window[:, 1:]) for window in windows]


@pytest.fixture(params=["float64", "float32"])
def dtype(request):
    "The dtype of both libraries while a test runs."
    tinytorch.set_default_dtype(request.param)
    yield request.param
    tinytorch.set_default_dtype("float32")


def our_loss(model, inputs, targets):
    return F.cross_entropy(model(inputs).reshape(-1, model.vocab_size), targets.reshape(-1))


def their_loss(torch, model, inputs, targets):
    logits = model(torch.tensor(inputs))
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), torch.tensor(targets.reshape(-1)))


def train_ours(model, batches):
    optimizer = AdamW(model.parameters(), lr=LR, betas=BETAS, weight_decay=0.1)
    schedule = LambdaLR(optimizer, warmup_cosine(WARMUP, STEPS, floor=0.1))
    loader = [(Tensor(inputs), Tensor(targets)) for inputs, targets in batches]
    history = train(model, loader, our_loss, optimizer, steps=STEPS, schedule=schedule, accumulate=ACCUMULATE,
                    max_norm=MAX_NORM)
    return [{name: record[name] for name in ("loss", "norm", "lr")} for record in history]


def train_theirs(torch, model, batches):
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=BETAS, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine(WARMUP, STEPS, floor=0.1))
    history = []
    for start in range(0, len(batches), ACCUMULATE):
        optimizer.zero_grad()
        losses = [their_loss(torch, model, *batch) / ACCUMULATE for batch in batches[start:start + ACCUMULATE]]
        for loss in losses:
            loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
        history.append({"loss": sum(loss.item() for loss in losses), "norm": norm.item(),
                        "lr": schedule.get_last_lr()[0]})
        optimizer.step()
        schedule.step()
    return history


def assert_same_function(torch, ours, theirs, batch, dtype):
    "The same logits for the same inputs, and the same gradient of every parameter."
    inputs, targets = batch
    logits, expected = ours(inputs), theirs(torch.tensor(inputs)).detach().numpy()
    assert logits.dtype == dtype and np.abs(expected).max() > 0.1
    error = np.abs(logits.data - expected).max() / max(1, np.abs(expected).max())
    assert error < LOGITS[dtype], f"logits differ by {error:.1e}"
    for model in (ours, theirs):
        model.zero_grad()
    our_loss(ours, inputs, targets).backward()
    their_loss(torch, theirs, inputs, targets).backward()
    gradients = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    assert list(gradients) == [name for name, _ in ours.named_parameters()]
    for name, parameter in ours.named_parameters():
        assert parameter.grad.dtype == dtype, name
        size = np.abs(gradients[name]).max()
        assert size > 1e-6, f"{name}: hardly a gradient"
        error = np.abs(parameter.grad.data - gradients[name]).max() / size
        assert error < GRADIENTS[dtype], f"{name}: the gradients differ by {error:.1e} of their size"


def column(history, name):
    return np.array([record[name] for record in history])


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_two_hundred_steps_side_by_side(torch, twins, dtype, text, variant):
    ids, vocabulary = text
    options = SIZE | variant | dict(vocab_size=vocabulary)
    ours = nn.GPT(nn.GPTConfig(**options))
    theirs = twins.twin_of(ours, **options)
    *batches, held_out = batches_of(ids, STEPS * ACCUMULATE + 1)

    assert_same_function(torch, ours, theirs, held_out, dtype)
    our_history, their_history = train_ours(ours, batches), train_theirs(torch, theirs, batches)
    loss, reference = column(our_history, "loss"), column(their_history, "loss")
    print(f"loss {loss[0]:.3f} -> {loss[-1]:.3f}, the curves differ by at most {np.abs(loss - reference).max():.1e}")
    np.testing.assert_allclose(loss, reference, rtol=0, atol=LOSSES[dtype])
    np.testing.assert_allclose(column(our_history, "norm"), column(their_history, "norm"), rtol=10 * LOSSES[dtype])
    np.testing.assert_allclose(column(our_history, "lr"), column(their_history, "lr"), rtol=1e-12)

    # the comparison means something only if there was something to do
    clipped = column(our_history, "norm") > MAX_NORM
    assert 0 < clipped.sum() < STEPS, "clipping must act at some steps and rest at others"
    assert loss[-20:].mean() < loss[0] - 0.7, "the model learned"
    if dtype == "float64":
        for name, tensor in theirs.state_dict().items():
            np.testing.assert_allclose(ours.state_dict()[name], tensor.numpy(), atol=1e-6, err_msg=name)
    assert_same_function(torch, ours, twins.twin_of(ours, **options), held_out, dtype)  # weights that know something
