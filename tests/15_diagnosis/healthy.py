"""Healthy models: those of the milestones, with their sizes, rates and optimizers, as arguments for `diagnose`."""
import importlib.util
import sys
from pathlib import Path

import numpy as np

import tinytorch
import tinytorch.nn as nn
import tinytorch.nn.functional as F
from tinytorch import Tensor
from tinytorch.optim import SGD, Adam, AdamW, LambdaLR, warmup_cosine

FOLDER = Path(__file__).parents[2] / "milestones" / "05_2017_transformer"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sys.path.append(str(FOLDER))  # where scripts find what they share, as they do when they are run
reversal_script, memorize_script = load(FOLDER / "reversal.py"), load(FOLDER / "memorize.py")


def token_loss(model, ids, targets):
    return F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())


def class_loss(model, inputs, labels):
    return F.cross_entropy(model(inputs), labels)


def reversal(functions=False):
    train, held_out = reversal_script.reversal_data(8, 0)
    batch, held_out = (tuple(Tensor(array[:64]) for array in pair) for pair in (train, held_out))
    if functions:
        weights, model = reversal_script.build_simple_transformer(8)
        case = {"parameters": weights, "optimizer": AdamW(weights.values(), lr=5e-3)}
    else:
        model = reversal_script.ReversalTransformer(8)
        case = {"optimizer": AdamW(model.parameters(), lr=5e-3)}
    LambdaLR(case["optimizer"], warmup_cosine(100, 750))
    return {"model": model, "batch": batch, "held_out": held_out, "loss_fn": token_loss, **case}


def memorize(level):
    trainer = memorize_script.make_trainer(memorize_script.LEVELS[level], 0)
    return {"model": trainer.model, "batch": next(iter(trainer.loader)), "loss_fn": memorize_script.loss_of,
            "optimizer": trainer.optimizer}


def language(vocabulary, context, width, layers, heads, batch, rate, **options):
    "Tokens as frequent as words are: the k-th has a share that falls with 1 / k."
    sizes = dict(vocab_size=vocabulary, context=context, d_model=width, num_layers=layers, num_heads=heads)
    model = nn.GPT(nn.GPTConfig(**sizes, **options))
    shares = 1 / np.arange(1, vocabulary + 1)
    ids = np.random.default_rng(0).choice(vocabulary, (batch, context + 1), p=shares / shares.sum())
    optimizer = AdamW(model.parameters(), lr=rate)
    LambdaLR(optimizer, warmup_cosine(100, 5000))
    return {"model": model, "batch": (Tensor(ids[:, :-1]), Tensor(ids[:, 1:])), "loss_fn": token_loss,
            "optimizer": optimizer}


def points(rows, shape, classes):
    "Noisy copies of one image for each class."
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, rows)
    images = rng.standard_normal((classes, *shape))[labels] + 0.5 * rng.standard_normal((rows, *shape))
    return Tensor(images.astype(np.float32)), Tensor(labels)


def network(model, images, rate=3e-3):
    return {"model": model, "batch": images, "loss_fn": class_loss, "optimizer": AdamW(model.parameters(), lr=rate)}


def mlp():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(),
                          nn.Linear(128, 10))
    return network(model, points(64, (1, 8, 8), 10))


def cnn():
    model = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.Flatten(),
                          nn.Dropout(0.3), nn.Linear(32 * 16, 10))
    return network(model, points(64, (1, 8, 8), 10))


def xor():
    rng = np.random.default_rng(0)
    corners = rng.choice([-1, 1], (100, 2))
    inputs = (corners + 0.2 * rng.standard_normal((100, 2))).astype(np.float32)
    targets = (corners.prod(axis=1, keepdims=True) < 0).astype(np.float32)
    model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
    return {"model": model, "batch": (inputs, targets), "optimizer": Adam(model.parameters(), lr=0.05),
            "loss_fn": lambda model, x, y: F.binary_cross_entropy_with_logits(model(x), y)}


def perceptron():
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((50, 2)).astype(np.float32)
    model = nn.Linear(2, 1)
    return {"model": model, "batch": (inputs, np.sign(inputs[:, :1] - inputs[:, 1:])),
            "optimizer": SGD(model.parameters(), lr=1.0),
            "loss_fn": lambda model, x, side: (model(x) * -side).relu().mean()}


MODELS = {
    "perceptron": perceptron, "xor": xor, "mlp": mlp, "cnn": cnn,
    "reversal": reversal, "reversal, functions": lambda: reversal(functions=True),
    **{f"memorize, level {level}": lambda level=level: memorize(level) for level in memorize_script.LEVELS},
    "copilot, small": lambda: language(100, 64, 32, 2, 2, 16, 3e-3, positions="rotary", tied_head=False),
    "shakespeare, quick": lambda: language(65, 32, 64, 2, 4, 32, 3e-3, norm="rms_norm", activation="relu_squared",
                                           bias=False),
    "tinystories, quick": lambda: language(1024, 64, 128, 1, 4, 16, 4e-3),
}
LARGE = {  # too long for every run of the tests
    "copilot, base": lambda: language(100, 64, 128, 4, 4, 32, 2e-3, positions="rotary", tied_head=False),
    "shakespeare, base": lambda: language(65, 64, 128, 4, 8, 32, 1e-3, norm="rms_norm", activation="relu_squared",
                                          bias=False),
    "shakespeare, nanogpt": lambda: language(65, 64, 128, 4, 4, 12, 1e-3, bias=False),
    "tinystories, small": lambda: language(2048, 64, 128, 3, 4, 16, 1e-3),
    "tinystories, large": lambda: language(8192, 64, 160, 5, 8, 16, 1e-3, tied_head=False),
    "tinystories, W4": lambda: language(8192, 64, 256, 4, 8, 16, 1e-3, tied_head=False),
}


def build(name, seed=0):
    tinytorch.manual_seed(seed)
    return (MODELS | LARGE)[name]()
