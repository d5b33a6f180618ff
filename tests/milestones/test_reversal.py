"""The reversal milestone: it learns on several seeds, its two models are one, and broken variants fail its check."""
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tinytorch
import tinytorch.nn as nn
from tinytorch import Tensor

SCRIPT = Path(__file__).parents[2] / "milestones" / "05_2017_transformer" / "reversal.py"
LENGTH = 8


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reversal = load(SCRIPT)


def held_out_accuracy(model, parameters, seed, epochs=6):
    "Exact match on held-out sequences after training `parameters` as the milestone does."
    train_pairs, test_pairs = reversal.reversal_data(LENGTH, seed)
    reversal.train(model, parameters, train_pairs, epochs, report=lambda line: None)
    return reversal.exact_match(model, test_pairs)


# ---- the healthy models

@pytest.mark.parametrize("seed", range(5))
def test_the_class_learns(seed):
    tinytorch.manual_seed(seed)
    model = reversal.ReversalTransformer(LENGTH)
    assert held_out_accuracy(model, model.parameters(), seed) >= reversal.THRESHOLD


@pytest.mark.parametrize("seed", range(5))
def test_the_functions_learn(seed):
    tinytorch.manual_seed(seed)
    weights, forward = reversal.build_simple_transformer(LENGTH)
    assert held_out_accuracy(forward, weights.values(), seed) >= reversal.THRESHOLD


def test_same_weights_same_logits_and_gradients():
    model = reversal.ReversalTransformer(LENGTH)
    weights, forward = reversal.build_simple_transformer(LENGTH)
    assert list(weights) == [name for name, _ in model.named_parameters()]
    for name, array in model.state_dict().items():
        weights[name].data[...] = array
    digits, targets = map(Tensor, reversal.reversal_data(LENGTH, seed=0)[1])
    ours, simple = model(digits), forward(digits)
    assert np.abs(ours.data).max() > 0.1
    np.testing.assert_allclose(ours.data, simple.data, atol=1e-5)
    reversal.loss_of(ours, targets).backward()
    reversal.loss_of(simple, targets).backward()
    for name, parameter in model.named_parameters():
        assert np.abs(parameter.grad.data).max() > 0, name
        np.testing.assert_allclose(parameter.grad, weights[name].grad, atol=1e-6, err_msg=name)


# ---- broken variants: the same training, the same check

class WithoutPositions(reversal.ReversalTransformer):
    def embed(self, digits):
        return self.token(digits)


class UniformAttention(nn.MultiHeadAttention):
    "Every position takes equally from all: the mean of the values."
    def forward(self, query, **_):
        value = nn.functional.linear(query, self.in_proj.weight[-self.embed_dim:], self.in_proj.bias[-self.embed_dim:])
        return self.out_proj(value.mean(dim=1, keepdim=True).expand(*query.shape))


class WithUniformAttention(reversal.ReversalTransformer):
    def __init__(self, length):
        super().__init__(length)
        self.block.attention = UniformAttention(reversal.D_MODEL, reversal.HEADS)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("broken", [WithoutPositions, WithUniformAttention])
def test_without_positions_or_with_uniform_attention_it_stays_far_below(broken, seed):
    tinytorch.manual_seed(seed)
    model = broken(LENGTH)
    assert held_out_accuracy(model, model.parameters(), seed) < 0.05


@pytest.mark.parametrize("seed", range(2))
def test_with_positions_and_attention_left_out_of_the_optimizer_it_stays_far_below(seed):
    tinytorch.manual_seed(seed)
    model = reversal.ReversalTransformer(LENGTH)
    left_out = ("position", "block.attention")
    trained = [p for name, p in model.named_parameters() if not name.startswith(left_out)]
    assert held_out_accuracy(model, trained, seed) < 0.05


def test_the_script_fails_with_a_broken_model(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(reversal, "ReversalTransformer", WithoutPositions)
    monkeypatch.setattr(sys, "argv", ["reversal.py", "--runs", str(tmp_path)])
    assert reversal.main() == 1
    assert "NOT LEARNED: held-out sequences right, ReversalTransformer. " in capsys.readouterr().out


# ---- the script

def test_train_and_held_out_sequences_are_distinct_and_reversed():
    for length in (2, 3, 8):
        (train, train_targets), (test, test_targets) = reversal.reversal_data(length, seed=0)
        assert {tuple(row) for row in train}.isdisjoint(map(tuple, test)) and len(test) > 10
        assert (train[:, ::-1] == train_targets).all() and (test[:, ::-1] == test_targets).all()


def run(*arguments, folder):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], cwd=folder, capture_output=True, text=True)


def test_the_script_passes_and_leaves_pictures(tmp_path):
    done = run("--length", "5", "--epochs", "3", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "LEARNED" in done.stdout and "18 parameters" in done.stdout
    for name in ("loss.png", "attention.png"):
        picture = tmp_path / "runs" / "reversal-001" / name
        assert picture.read_bytes()[:4] == b"\x89PNG"
    status = json.loads((tmp_path / "runs" / "reversal-001" / "status.json").read_text())
    assert status["status"] == "learned" and status["best"]["value"] >= reversal.THRESHOLD
    run("--length", "2", "--epochs", "1", folder=tmp_path)
    assert (tmp_path / "runs" / "reversal-002").is_dir(), "a second run must not overwrite the first"


@pytest.mark.parametrize("arguments", [("--length", "1"), ("--epochs", "0"), ("--length", "x")])
def test_the_script_refuses_bad_arguments(arguments, tmp_path):
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == 2 and "expected" in done.stderr or "invalid" in done.stderr
    assert not list(tmp_path.iterdir())
