"""PyTorch's models, unchanged: the same findings, in PyTorch's names; everything is afterwards as it was."""
import copy
import subprocess
import sys

import numpy as np
import pytest

from tinytorch.diagnosis import diagnose


def set_up(torch, seed=0):
    torch.manual_seed(seed)
    x = torch.randn(64, 6)
    y = (x[:, 0] > 0).long() + 2 * (x[:, 1] > 0).long()
    model = torch.nn.Sequential(torch.nn.Linear(6, 24), torch.nn.BatchNorm1d(24), torch.nn.ReLU(),
                                torch.nn.Dropout(0.1), torch.nn.Linear(24, 4))
    return model, (x, y), lambda model, x, y: torch.nn.functional.cross_entropy(model(x), y)


def faults(report):
    return [f.fault for f in report.findings if f.severity != "note"]


def test_a_healthy_model_is_left_in_peace_and_as_it_was(torch):
    model, batch, loss_fn = set_up(torch)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        loss_fn(model, *batch).backward()
        optimizer.step()
    tensors = [*model.parameters(), *model.buffers()]
    kept = [(p.data, p.data.clone(), p.grad, p.dtype) for p in tensors]
    state, random = copy.deepcopy(optimizer.state_dict()), torch.get_rng_state()
    report = diagnose(model, batch, loss_fn, optimizer, held_out=set_up(torch)[1])
    torch.manual_seed(0), torch.set_rng_state(random)
    assert not report.severe(), str(report)
    for p, (data, numbers, grad, dtype) in zip(tensors, kept):
        assert p.data.data_ptr() == data.data_ptr() and torch.equal(p.data, numbers) and p.grad is grad
        assert p.dtype == dtype
    np.testing.assert_equal(str(optimizer.state_dict()), str(state))
    assert model.training and torch.get_default_dtype() == torch.float32


def test_a_random_state_is_put_back(torch):
    model, batch, loss_fn = set_up(torch)
    before = torch.get_rng_state()
    diagnose(model, batch, loss_fn, torch.optim.SGD(model.parameters(), lr=0.1))
    assert torch.equal(torch.get_rng_state(), before)


def test_faults_in_pytorch(torch):
    model, batch, loss_fn = set_up(torch)
    assert faults(diagnose(model, batch, loss_fn, torch.optim.SGD(model[4].parameters(), lr=0.1)))[0] == "left-out"

    class Cut(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = torch.nn.Linear(6, 24), torch.nn.Linear(24, 4)

        def forward(self, x):
            return self.head(self.body(x).detach().relu())

    cut = Cut()
    report = diagnose(cut, batch, loss_fn, torch.optim.Adam(cut.parameters(), lr=1e-2))
    assert faults(report)[0] == "cut" and "body.weight" in report.findings[0].what
    assert "test_pytorch.py" in report.findings[0].what


def test_a_backward_of_ones_own_that_is_wrong(torch):
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.saved_tensors[0]

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = torch.nn.Linear(6, 8), torch.nn.Linear(8, 4)

        def forward(self, x):
            return self.b(Wrong.apply(self.a(x)))

    _, batch, loss_fn = set_up(torch)
    net = Net()
    assert faults(diagnose(net, batch, loss_fn, torch.optim.Adam(net.parameters(), lr=1e-2)))[0] == "wrong-backward"


CASE = """
import {0} as torch
from {0} import nn
import {0}.nn.functional as F

def case():
    torch.manual_seed(0)
    x = torch.randn(32, 6)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
    return {{"model": model, "batch": (x, x[:, 0]), "loss_fn": lambda model, x, y: ((model(x) - y) ** 2).mean()}}

nothing = 3
"""


@pytest.mark.parametrize("framework", ["tinytorch", "torch"])
def test_from_a_shell(torch, tmp_path, framework):
    (tmp_path / "mine.py").write_text(CASE.format(framework), encoding="utf-8")

    def run(named):
        command = [sys.executable, "-m", "tinytorch.diagnosis", named]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    answer = run("mine:case")
    assert answer.returncode == 1 and "examples-mixed" in answer.stdout and "(32, 1)" in answer.stdout, answer.stderr
    for wrong in ("mine", "mine:nothing", "nowhere:case"):
        assert run(wrong).returncode == 2


def test_pytorch_is_not_imported_for_models_of_ours():
    code = ("import sys\nfrom tinytorch import nn, randn\nfrom tinytorch.diagnosis import diagnose\n"
            "diagnose(nn.Linear(2, 1), (randn(8, 2), randn(8, 1)), lambda m, x, y: ((m(x) - y) ** 2).mean())\n"
            "assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, "-c", code], check=True)
