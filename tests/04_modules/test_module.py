"""Module: what it finds, names, shares, switches, saves and loads."""
import copy

import numpy as np
import pytest

from tinytorch import Tensor, randn
from tinytorch.nn.activations import GELU, ReLU
from tinytorch.nn.layers import Dropout, Flatten, Linear
from tinytorch.nn.module import Module, ModuleDict, ModuleList, Parameter, Sequential


class Net(Module):
    "A bit of everything: a parameter of its own, children, a list, buffers of both kinds, and decoys."
    def __init__(self):
        self.first = Linear(3, 4)
        self.scale = Parameter(np.ones(4, np.float32))
        self.blocks = ModuleList([Linear(4, 4, bias=False), Linear(4, 4)])
        self.register_buffer("steps", Tensor(0))
        self.register_buffer("cache", Tensor([1.0]), persistent=False)
        self.register_buffer("nothing", None)
        self.constant, self.sizes, self.hidden = Tensor([2.0, 3.0]), [3, 4], [Linear(7, 7)]

    def forward(self, x):
        x = self.first(x) * self.scale
        for block in self.blocks:
            x = block(x)
        return x


NAMES = ["scale", "first.weight", "first.bias", "blocks.0.weight", "blocks.1.weight", "blocks.1.bias"]


def parameters_of(module):
    return {name: parameter.data.copy() for name, parameter in module.named_parameters()}


# ---- finding


def test_parameters_are_found_in_the_tree_own_ones_first():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [id(p) for p in net.parameters()] == [id(p) for _, p in net.named_parameters()]
    assert all(isinstance(p, Parameter) and p.requires_grad for p in net.parameters())


def test_a_float_tensor_and_a_plain_list_are_not_searched():
    assert not any("constant" in name or "hidden" in name for name in Net().state_dict())


def test_modules_and_children_come_parents_first():
    net = Net()
    assert [name for name, _ in net.named_modules()] == ["", "first", "blocks", "blocks.0", "blocks.1"]
    assert list(net.modules())[0] is net
    assert [name for name, _ in net.named_children()] == ["first", "blocks"]
    assert list(net.children()) == [net.first, net.blocks]


def test_a_later_assignment_replaces_and_none_removes():
    layer = Linear(3, 2)
    layer.weight = Parameter(np.zeros((2, 3)))
    layer.bias = None
    assert [(n, p.data.sum()) for n, p in layer.named_parameters()] == [("weight", 0)]
    assert layer(randn(4, 3)).shape == (4, 2)


def test_a_shared_parameter_is_counted_once_and_saved_under_both_names():
    net = Sequential(Linear(3, 3, bias=False), ReLU(), Linear(3, 3, bias=False))
    net[2].weight = net[0].weight
    assert [name for name, _ in net.named_parameters()] == ["0.weight"]
    assert list(net.state_dict()) == ["0.weight", "2.weight"]
    x = randn(5, 3)
    net(x).sum().backward()
    hidden = np.maximum(x.data @ net[0].weight.data.T, 0)
    through_second = np.ones((5, 3)).T @ hidden
    through_first = ((np.ones((5, 3)) @ net[0].weight.data) * (hidden > 0)).T @ x.data
    assert np.abs(through_first).max() > 0.01 and np.abs(through_second).max() > 0.01
    np.testing.assert_allclose(net[0].weight.grad.data, through_first + through_second, atol=1e-5)


def test_a_shared_module_is_visited_once():
    layer = Linear(2, 2)
    net = Sequential(layer, layer)
    assert len(list(net.modules())) == 2 and len(list(net.parameters())) == 2
    assert [path for path, _ in net.named_modules()] == ["", "0"]
    assert list(net.named_modules(remove_duplicate=False)) == [("", net), ("0", layer), ("1", layer)]
    assert len(net.state_dict()) == 4


def test_a_module_works_without_super_init_and_asks_for_forward():
    class Bare(Module):
        pass

    bare = Bare()
    assert list(bare.parameters()) == [] and bare.training and repr(bare) == "Bare()"
    with pytest.raises(NotImplementedError, match="Bare"):
        bare(1)


# ---- parameters


def test_a_parameter_copies_its_data_and_shows_itself():
    array = np.ones(2, np.float32)
    parameter = Parameter(array)
    array[0] = 5
    assert parameter.data[0] == 1 and parameter.requires_grad and parameter.is_leaf
    assert repr(parameter).startswith("Parameter containing:\ntensor([1., 1.]")
    assert not Parameter(array, requires_grad=False).requires_grad
    assert type(parameter * 2) is Tensor
    with pytest.raises(TypeError, match="int64"):
        Parameter(np.array([1, 2], np.int64))


# ---- switching


def test_train_and_eval_reach_every_module():
    net = Sequential(Linear(2, 2), Sequential(Dropout(0.5)))
    assert net.eval() is net and not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())


def test_zero_grad_and_freezing():
    net = Net()
    net(randn(2, 3)).sum().backward()
    assert all(np.abs(p.grad.data).max() > 0 for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.first.requires_grad_(False)
    net(randn(2, 3)).sum().backward()
    assert net.first.weight.grad is None and np.abs(net.scale.grad.data).max() > 0
    assert net.requires_grad_() is net and net.first.weight.requires_grad


def test_apply_visits_children_before_their_parent():
    net, seen = Net(), []
    assert net.apply(seen.append) is net
    assert seen == [net.first, net.blocks[0], net.blocks[1], net.blocks, net]


def test_double_and_float_keep_the_tensors_and_convert_their_gradients():
    net = Net()
    net(randn(2, 3)).sum().backward()
    before = list(net.parameters())
    net.double()
    assert all(p is q for p, q in zip(before, net.parameters()))
    assert {p.dtype for p in net.parameters()} == {p.grad.dtype for p in net.parameters()} == {np.dtype(np.float64)}
    assert net.cache.dtype == np.float64 and net.steps.dtype == np.int64
    assert {p.dtype for p in net.float().parameters()} == {np.dtype(np.float32)}
    with pytest.raises(TypeError, match="int64"):
        net.to(np.int64)


# ---- buffers


def test_buffers_are_kept_and_saved_but_not_learned():
    net = Net()
    assert [name for name, _ in net.named_buffers()] == ["steps", "cache"]
    assert [b.dtype for b in net.buffers()] == [np.int64, np.float32]
    assert "steps" in net.state_dict() and "cache" not in net.state_dict() and "nothing" not in net.state_dict()


def test_a_buffer_may_be_replaced_and_stays_a_buffer():
    net = Net()
    net.steps = net.steps + 3
    assert net.state_dict()["steps"] == 3
    assert Net().steps.item() == 0 and list(Module().named_buffers()) == []


@pytest.mark.parametrize("name, value, error, words", [
    ("first", Tensor([1.0]), KeyError, "first"), ("forward", Tensor([1.0]), KeyError, "forward"),
    ("fresh", np.ones(2), TypeError, "ndarray")])
def test_a_bad_buffer_is_refused(name, value, error, words):
    net = Net()
    before = list(net.state_dict())
    with pytest.raises(error, match=words):
        net.register_buffer(name, value)
    assert list(net.state_dict()) == before


# ---- saving and loading


def test_state_dict_copies_and_loads_in_place():
    one, other = Net(), Net()
    one.steps = Tensor(7)
    state, arrays = one.state_dict(), [p.data for p in other.parameters()]
    assert list(state) == ["scale", "steps"] + NAMES[1:]
    assert other.load_state_dict(state) == ([], [])
    assert all(p.data is array for p, array in zip(other.parameters(), arrays)), "an optimizer holds these arrays"
    for name, array in parameters_of(other).items():
        np.testing.assert_array_equal(array, state[name])
    assert other.steps.item() == 7
    state["scale"][:] = 99
    assert one.scale.data[0] == other.scale.data[0] == 1


def test_loading_takes_tensors_and_lists_and_keeps_the_dtype():
    layer = Linear(2, 1)
    layer.load_state_dict({"weight": [[1, 2]], "bias": Tensor(np.array([3.0]))})
    assert layer.weight.data.tolist() == [[1, 2]] and layer.bias.data.tolist() == [3]
    assert layer.weight.dtype == layer.bias.dtype == np.float32


@pytest.mark.parametrize("change, error, facts", [
    (lambda s: s.pop("blocks.1.bias"), RuntimeError, ["blocks.1.bias"]),
    (lambda s: s.update(extra=np.ones(2)), RuntimeError, ["extra"]),
    (lambda s: s.update(scale=np.ones(5)), RuntimeError, ["scale", "(5,)", "(4,)"]),
    (lambda s: s.update({"scale": np.ones(()), "blocks.0.weight": np.ones((1, 4)), "spare": 1}), RuntimeError,
     ["scale", "()", "(4,)", "blocks.0.weight", "(1, 4)", "(4, 4)", "spare"]),
    (lambda s: s.update({"blocks.1.bias": "text"}), (RuntimeError, ValueError, TypeError), [])])
def test_a_state_that_does_not_fit_changes_nothing(change, error, facts):
    net = Net()
    before = net.state_dict()
    state = {name: array + 1 for name, array in before.items()}
    change(state)
    with pytest.raises(error) as raised:
        net.load_state_dict(state)
    assert [fact for fact in facts if fact not in str(raised.value)] == []
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_not_strict_reports_names_but_still_refuses_shapes():
    net = Linear(2, 3)
    missing, unexpected = net.load_state_dict({"weight": np.ones((3, 2)), "other": np.ones(1)}, strict=False)
    assert (missing, unexpected) == (["bias"], ["other"]) and net.weight.data.sum() == 6
    with pytest.raises(RuntimeError, match="weight"):
        net.load_state_dict({"weight": np.ones((2, 3))}, strict=False)


def test_a_deep_copy_is_independent_and_keeps_sharing():
    net = Sequential(Linear(3, 3), Linear(3, 3))
    net[1].weight = net[0].weight
    twin = copy.deepcopy(net)
    assert twin[1].weight is twin[0].weight is not net[0].weight
    twin[0].weight.data[...] = 0
    assert np.abs(net[0].weight.data).max() > 0
    assert isinstance(twin[0].weight, Parameter) and len(list(twin.parameters())) == 3


# ---- containers


def test_sequential_runs_in_order_and_is_a_sequence():
    net = Sequential(Linear(2, 3), ReLU(), Linear(3, 1))
    x = randn(4, 2)
    np.testing.assert_array_equal(net(x).data, net[2](net[0](x).relu()).data)
    assert len(net) == 3 and list(net)[1] is net[1] and net[-1] is net[2]
    assert isinstance(net[:2], Sequential) and len(net[:2]) == 2 and net[:2][0] is net[0]
    assert isinstance(Sequential(Sequential(ReLU()))[:], Sequential)
    assert net.append(ReLU()) is net and len(net) == 4 and repr(net[3]) == "ReLU()"
    assert net.extend([GELU(), Flatten()]) is net and [type(m) for m in net[4:]] == [GELU, Flatten]
    assert Sequential()(x) is x
    with pytest.raises(IndexError):
        net[9]


def test_sequential_takes_names():
    net = Sequential({"inner": Linear(2, 3), "outer": Linear(3, 1)})
    assert list(net.state_dict()) == ["inner.weight", "inner.bias", "outer.weight", "outer.bias"]
    assert net(randn(5, 2)).shape == (5, 1)


def test_module_list_and_dict():
    blocks = ModuleList([ReLU()])
    blocks.append(Linear(2, 2)).extend([GELU()])
    assert [type(b).__name__ for b in blocks] == ["ReLU", "Linear", "GELU"] and len(blocks) == 3
    assert isinstance(blocks[1:], ModuleList) and len(blocks[1:]) == 2 and blocks[-1] is blocks[2]
    assert len(list(blocks.parameters())) == 2
    heads = ModuleDict({"a": Linear(2, 1)})
    heads["b"] = Linear(2, 5)
    assert list(heads) == heads.keys() == ["a", "b"] and len(heads) == 2 and "b" in heads and "c" not in heads
    assert heads.values() == [heads["a"], heads["b"]] and dict(heads.items())["b"] is heads["b"]
    assert len(list(heads.parameters())) == 4


@pytest.mark.parametrize("build, error, words", [
    (lambda: Sequential(Linear(2, 2), Tensor.relu), TypeError, "function"),
    (lambda: ModuleList([Linear(2, 2), None]), TypeError, "None"),
    (lambda: ModuleDict({"keys": ReLU()}), KeyError, "keys"),
    (lambda: ModuleDict({"a.b": ReLU()}), KeyError, "a.b"),
    (lambda: Sequential({"": ReLU()}), KeyError, "Sequential")])
def test_what_cannot_be_a_child_is_refused(build, error, words):
    with pytest.raises(error, match=words):
        build()


def test_a_model_is_shown_as_a_tree_and_equal_neighbours_in_a_list_share_a_line():
    class Deep(Module):
        def __init__(self):
            self.first = Linear(3, 4, bias=False)
            self.rest = ModuleList([ReLU(), ReLU(), Flatten(), ReLU()])

    assert repr(Deep()) == """Deep(
  (first): Linear(in_features=3, out_features=4, bias=False)
  (rest): ModuleList(
    (0-1): 2 x ReLU()
    (2): Flatten(start_dim=1, end_dim=-1)
    (3): ReLU()
  )
)"""
    assert repr(Sequential(ReLU(), ReLU())) == "Sequential(\n  (0): ReLU()\n  (1): ReLU()\n)"


# ---- beside PyTorch


def test_names_shapes_and_order_are_pytorchs_and_weights_travel_both_ways(torch):
    import torch.nn as nn

    theirs = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.GELU(), nn.ModuleList([nn.Linear(4, 3, bias=False)])[0])
    ours = Sequential(Flatten(), Linear(6, 4), GELU(), Linear(4, 3, bias=False))
    state = theirs.state_dict()
    assert {n: tuple(v.shape) for n, v in state.items()} == {n: v.shape for n, v in ours.state_dict().items()}
    assert list(state) == list(ours.state_dict())
    x = np.random.default_rng(0).standard_normal((5, 2, 3)).astype(np.float32)
    ours.load_state_dict(state)
    np.testing.assert_allclose(ours(Tensor(x)).data, theirs(torch.tensor(x)).detach().numpy(), atol=1e-6)
    fresh = Sequential(Flatten(), Linear(6, 4), GELU(), Linear(4, 3, bias=False))
    theirs.load_state_dict({name: torch.tensor(array) for name, array in fresh.state_dict().items()})
    np.testing.assert_allclose(fresh(Tensor(x)).data, theirs(torch.tensor(x)).detach().numpy(), atol=1e-6)


def test_own_tensors_then_buffers_then_children_as_in_pytorch(torch):
    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.child = torch.nn.Linear(2, 2)
            self.register_buffer("buffer", torch.zeros(3))
            self.own = torch.nn.Parameter(torch.zeros(1))

    class Ours(Module):
        def __init__(self):
            self.child = Linear(2, 2)
            self.register_buffer("buffer", Tensor(np.zeros(3)))
            self.own = Parameter(np.zeros(1))

    assert list(Ours().state_dict()) == list(Theirs().state_dict())
    assert [n for n, _ in Ours().named_parameters()] == [n for n, _ in Theirs().named_parameters()]


def test_a_model_is_shown_as_in_pytorch(torch):
    def build(nn):
        return nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.GELU(approximate="tanh")),
                             nn.ModuleList([nn.Linear(4, 4, bias=False) for _ in range(3)] + [nn.Linear(4, 2)]),
                             nn.ModuleDict({"left": nn.Softplus(), "right": nn.LeakyReLU(0.2)}),
                             nn.Softmax(dim=1), nn.Flatten(), nn.SiLU(), nn.Identity(), nn.Tanh(), nn.Sigmoid(),
                             nn.Sequential(), nn.ModuleList())

    from tinytorch import nn
    assert repr(build(nn)) == repr(build(torch.nn))
