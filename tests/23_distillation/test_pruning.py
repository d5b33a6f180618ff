"""Masks and smaller models: exactly so many go, the right ones, and the rest computes what it did."""
import copy

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, fast, nn
from tinytorch.generation import generate
from tinytorch.nn import functional as F
from tinytorch.optim import AdamW
from tinytorch.pruning import (
    apply_masks,
    best,
    head_scores,
    hidden_scores,
    keep_heads,
    keep_hidden,
    losses_without_heads,
    magnitude_mask,
    prune,
    shrink,
    sliced,
    sparsity,
    structured_mask,
)


def gpt(**options):
    tinytorch.manual_seed(0)
    sizes = dict(vocab_size=11, context=12, d_model=24, num_layers=2, num_heads=4, tied_head=False)
    return nn.GPT(nn.GPTConfig(**sizes | options)).eval()


IDS = Tensor(np.random.default_rng(0).integers(11, size=(2, 9)))


@pytest.mark.parametrize("amount", [0, 0.1, 0.35, 0.5, 1])
@pytest.mark.parametrize("shape", [(7,), (5, 8), (2, 3, 4)])
def test_exactly_so_many_go_and_no_larger_one(amount, shape):
    weight = np.random.default_rng(0).integers(-4, 5, shape)
    mask = magnitude_mask(weight, amount)
    assert mask.shape == shape and mask.dtype == bool and (~mask).sum() == round(amount * weight.size)
    assert abs(weight[~mask]).max(initial=0) <= abs(weight[mask]).min(initial=9)


@pytest.mark.parametrize("amount", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("call", [lambda a: magnitude_mask([1, 2], a), lambda a: structured_mask([[1, 2]], a),
                                  lambda a: prune(gpt(), a)])
def test_amounts_are_shares(amount, call):
    with pytest.raises(ValueError, match=f"{amount}"):
        call(amount)


@pytest.mark.parametrize("together", [False, True])
def test_a_model_is_pruned(together):
    model = gpt()
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    masks = prune(model, 0.3, together)
    assert set(masks) == {name for name in before if name.endswith(("proj.weight", "fc1.weight", "fc2.weight"))}
    shares = [float((~mask).mean()) for mask in masks.values()]
    assert sparsity(model) == pytest.approx(0.3, abs=1e-3)
    assert together == (max(shares) - min(shares) > 0.01), "layers of smaller weights lose more, if all are together"
    for name, parameter in model.named_parameters():
        expected = np.where(masks[name], before[name], 0) if name in masks else before[name]
        assert np.array_equal(parameter.data, expected)


def test_zeros_stay_zeros_in_finetuning():
    model = gpt().train()
    masks = prune(model, 0.5)
    optimizer, losses = AdamW(model.parameters(), lr=1e-2), []
    for _ in range(8):
        loss = F.cross_entropy(model(IDS)[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        apply_masks(model, masks)
        losses.append(loss.item())
        assert sparsity(model) == pytest.approx(0.5, abs=1e-3)
    assert losses[-1] < losses[0] - 0.3


def test_what_cannot_be_pruned():
    with pytest.raises(ValueError, match="ReLU.*Linear"):
        prune(nn.ReLU(), 0.5)
    with pytest.raises(KeyError):
        apply_masks(gpt(), {"no.weight": np.ones(3, bool)})
    assert "head.weight" in prune(gpt(), 0.5, skip=())


def test_not_a_number_where_it_goes():
    model = nn.Sequential(nn.Linear(2, 1, bias=False))
    model[0].weight.data[...] = [[np.inf, np.nan]]
    apply_masks(model, {"0.weight": [[False, False]]})
    assert model[0].weight.tolist() == [[0, 0]]


@pytest.mark.parametrize("dim", [0, 1, -1, 2])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_whole_slices_go(dim, n):
    weight = np.random.default_rng(0).standard_normal((4, 6, 5))
    mask = structured_mask(weight, 0.5, n, dim)
    slices = np.moveaxis(mask, dim, 0).reshape(weight.shape[dim], -1)
    norms = np.linalg.norm(np.moveaxis(weight, dim, 0).reshape(len(slices), -1), n, axis=1)
    assert (slices.all(1) | ~slices.any(1)).all() and (~slices[:, 0]).sum() == round(len(slices) / 2)
    assert norms[~slices[:, 0]].max() <= norms[slices[:, 0]].min()


@pytest.mark.parametrize("scores, expected", [([5, 1, 3], [0, 2]), ([1, 1, 1], [0, 1]), ([2, 9], [0, 1])])
def test_the_best(scores, expected):
    assert best(scores, 2).tolist() == expected


@pytest.mark.parametrize("count", [0, 4, -1])
def test_so_many_cannot_be_kept(count):
    with pytest.raises(ValueError, match=f"{count} to keep, expected 1 to 3"):
        best([1, 2, 3], count)


@pytest.mark.parametrize("level", ["plain", "numpy"])
@pytest.mark.parametrize("options", [{}, {"positions": "rotary", "norm": "rms_norm", "bias": False},
                                     {"activation": "swiglu"}])
def test_what_adds_nothing_can_go(options, level):
    model = gpt(**options)
    for block in model.transformer.blocks:
        block.attention.out_proj.weight.data[:, 6:12] = 0  # head 1
        block.mlp.fc2.weight.data[:, [3, 7, 8]] = 0
    hidden = block.mlp.fc1.out_features
    with fast.use(level):
        before = model(IDS).data
        small = shrink(copy.deepcopy(model), heads=0.75, hidden=(hidden - 3) / hidden)
        assert {block.attention.num_heads for block in small.transformer.blocks} == {3}
        assert {block.mlp.fc2.in_features for block in small.transformer.blocks} == {hidden - 3}
        np.testing.assert_allclose(small(IDS).data, before, atol=1e-5)
        small(IDS).sum().backward()
        assert all(p.grad is not None and p.grad.shape == p.shape for p in small.parameters())
        written = [generate(one, [1, 2], 6, temperature=0).tolist() for one in (small, model)]
        assert written[0] == written[1], "through the cache, too"


def test_scores_say_how_much_can_be_added():
    model = gpt(num_layers=1)
    attention, mlp = model.transformer.blocks[0].attention, model.transformer.blocks[0].mlp
    attention.out_proj.weight.data[:, 6:12] *= 100
    mlp.fc1.weight.data[5] *= 100
    assert head_scores(attention).argmax() == 1 and hidden_scores(mlp).argmax() == 5
    attention.in_proj.weight.data[48:54] = 0  # the values of head 0; those of queries do not count
    attention.in_proj.weight.data[6:12] = 0
    assert head_scores(attention)[0] == 0 and head_scores(attention).argmax() == 1
    keep_heads(attention, 1)
    keep_hidden(mlp, 1, scores=lambda mlp: -hidden_scores(mlp))
    assert attention.num_heads == 1 and attention.head_dim == 6 and mlp.fc1.out_features == 1


def test_a_head_that_matters_is_missed():
    model = gpt()
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    for block in model.transformer.blocks:
        block.attention.out_proj.weight.data[:, :18] = 0  # only head 3 adds anything
    calls = []

    def loss():
        calls.append(1)
        return F.cross_entropy(model(IDS)[:, :-1].flatten(0, 1), IDS[:, 1:].flatten()).item()
    whole = loss()
    for attention, losses in losses_without_heads(model, loss).items():
        assert np.array_equal(losses[:3], [whole] * 3) and losses[3] != whole and attention.num_heads == 4
    assert len(calls) == 1 + 2 * 4
    for name, p in model.named_parameters():
        kept = slice(18, None) if name.endswith("out_proj.weight") else slice(None)
        assert np.array_equal(p.data[..., kept], before[name][..., kept]), "the weights are put back"
    found = losses_without_heads(model, lambda: 0.0)
    assert shrink(model, 0.5, scores=(lambda a: -np.arange(len(found[a])), hidden_scores)) is model


def test_a_shrunken_model_is_smaller_and_keeps_its_interface():
    model = shrink(gpt(), 0.5, 0.25)
    assert sum(p.numel() for p in model.parameters()) < 0.55 * sum(p.numel() for p in gpt().parameters())
    assert model(IDS).shape == (2, 9, 11)
    state = model.state_dict()
    assert state["transformer.blocks.0.attention.in_proj.weight"].shape == (36, 24)
    again = shrink(gpt(), 0.5, 0.25)
    again.load_state_dict(state)


def test_what_cannot_be_shrunk_stays_whole():
    model = gpt(num_kv_heads=2)
    with pytest.raises(ValueError, match="4 heads share 2"):
        shrink(model, 0.5, 0.5)
    assert model.transformer.blocks[0].mlp.fc1.out_features == 96
    both = nn.ModuleList([nn.MultiHeadAttention(8, 4), nn.MultiHeadAttention(8, 4, num_kv_heads=2)])
    with pytest.raises(ValueError, match="4 heads share 2"):
        shrink(both, 0.5)
    assert both[0].num_heads == 4, "nothing is changed before all is known to fit"
    with pytest.raises(ValueError, match="from 0 to 1"):
        shrink(model, 1.5)
    assert shrink(gpt(), 0.0, 0.0).transformer.blocks[0].attention.num_heads == 1, "at least one stays"


def test_a_sliced_layer():
    layer = nn.Linear(4, 5, bias=False)
    new = sliced(layer, [1, 1], [3, 0])
    assert new.bias is None and new.weight.tolist() == layer.weight.data[[1, 1]][:, [3, 0]].tolist()
    assert new.weight.requires_grad and not np.shares_memory(new.weight.data, layer.weight.data)
    layer = nn.Linear(4, 5)
    assert sliced(layer, [4, 1]).bias.tolist() == layer.bias.data[[4, 1]].tolist()
