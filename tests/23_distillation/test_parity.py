"""PyTorch's pruning masks, and its Kullback-Leibler divergence."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn
from tinytorch.distillation import distillation_loss
from tinytorch.pruning import magnitude_mask, prune, structured_mask

torch = pytest.importorskip("torch", reason="parity tests need the extra: pip install -e '.[parity]'")
torch_prune = pytest.importorskip("torch.nn.utils.prune")


def layer(seed=0, sizes=(6, 8)):
    made = torch.nn.Linear(*sizes)
    made.weight.data = torch.tensor(np.random.default_rng(seed).standard_normal(sizes[::-1], dtype=np.float32))
    return made, made.weight.detach().numpy().copy()


@pytest.mark.parametrize("amount", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_structured_masks_are_torchs(amount, n, dim):
    theirs, weight = layer()
    torch_prune.ln_structured(theirs, "weight", amount, n, dim)
    assert np.array_equal(structured_mask(weight, amount, n, dim), theirs.weight_mask.bool().numpy())


@pytest.mark.parametrize("amount", [0.1, 0.3, 0.5, 0.99])
def test_magnitude_masks_are_torchs(amount):
    theirs, weight = layer()
    torch_prune.l1_unstructured(theirs, "weight", amount)
    assert np.array_equal(magnitude_mask(weight, amount), theirs.weight_mask.bool().numpy())


def test_global_masks_are_torchs():
    (first, weight), (second, other) = layer(0), layer(1, (8, 3))
    tinytorch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3))
    ours[0].weight.data[...], ours[1].weight.data[...] = weight, other
    torch_prune.global_unstructured([(first, "weight"), (second, "weight")], torch_prune.L1Unstructured, amount=0.4)
    masks = prune(ours, 0.4, together=True)
    for path, theirs in {"0.weight": first, "1.weight": second}.items():
        assert np.array_equal(masks[path], theirs.weight_mask.bool().numpy())


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_the_distillation_loss_is_torchs_kl_div(temperature):
    s, t = (np.random.default_rng(i).standard_normal((4, 7), dtype=np.float32) for i in range(2))
    ours, theirs = Tensor(s, requires_grad=True), torch.tensor(s, requires_grad=True)
    loss = distillation_loss(ours, Tensor(t), temperature)
    log_q, p = (theirs / temperature).log_softmax(-1), (torch.tensor(t) / temperature).softmax(-1)
    expected = torch.nn.functional.kl_div(log_q, p, reduction="batchmean") * temperature ** 2
    loss.backward()
    expected.backward()
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-5)
    np.testing.assert_allclose(ours.grad.data, theirs.grad.numpy(), rtol=1e-4, atol=1e-6)
