"""Checkpointed here and in PyTorch: the same results and gradients."""
import numpy as np
import pytest

from tinytorch import Tensor, nn
from tinytorch.recomputation import checkpoint, checkpoint_sequential

torch = pytest.importorskip("torch", reason="parity tests need the extra: pip install -e '.[parity]'")
recomputing = pytest.importorskip("torch.utils.checkpoint")


def both():
    ours = [nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.GELU()]
    theirs = [torch.nn.Linear(5, 5), torch.nn.Tanh(), torch.nn.Linear(5, 5), torch.nn.GELU()]
    for our, their in zip(ours, theirs):
        for p, q in zip(our.parameters(), their.parameters()):
            q.data = torch.tensor(p.data)
    return ours, theirs


def test_checkpoint_as_torch():
    (ours, theirs), x = both(), np.random.default_rng(0).standard_normal((3, 5), dtype=np.float32)
    inputs = Tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    calls = ((checkpoint(nn.Sequential(*ours), inputs[0]), checkpoint_sequential(ours, 2, inputs[0])),
             (recomputing.checkpoint(torch.nn.Sequential(*theirs), inputs[1], use_reentrant=False),
              recomputing.checkpoint_sequential(theirs, 2, inputs[1], use_reentrant=False)))
    for out, wanted in zip(*calls):
        np.testing.assert_allclose(out.data, wanted.detach(), rtol=1e-5, atol=1e-6)
    for out, wanted in zip(*calls):
        (out * out).sum().backward()
        (wanted * wanted).sum().backward()
    tensors = [(inputs[0], inputs[1]), *((p, q) for our, their in zip(ours, theirs)
                                         for p, q in zip(our.parameters(), their.parameters()))]
    for p, q in tensors:
        np.testing.assert_allclose(p.grad.data, q.grad, rtol=1e-4, atol=1e-5)
