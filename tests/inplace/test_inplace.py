"""In-place arithmetic does what PyTorch's does: on the same array, or refused, and never behind a graph's back."""
import gc
import operator
from contextlib import nullcontext

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, nn, no_grad
from tinytorch.dispatch import plain_forms
from tinytorch.inplace import writes

A, B = np.float32([[0.5, -2.0, 3.0], [1.0, 0.25, -0.5]]), np.float32([1.5, 2.0, -1.0])
OPERATORS = [operator.iadd, operator.isub, operator.imul, operator.itruediv]
METHODS = {  # what a user writes, for x of the numbers A, and y of B
    "add_": lambda x, y: x.add_(y), "add_ alpha": lambda x, y: x.add_(y, alpha=-0.1), "sub_": lambda x, y: x.sub_(y),
    "sub_ alpha": lambda x, y: x.sub_(y, alpha=0.1), "mul_": lambda x, y: x.mul_(y), "div_": lambda x, y: x.div_(y),
    "chain": lambda x, y: x.mul_(0.9).add_(y, alpha=0.1), "pow_": lambda x, y: x.pow_(2), "neg_": lambda x, y: x.neg_(),
    "zero_": lambda x, y: x.zero_(), "fill_": lambda x, y: x.fill_(7), "copy_": lambda x, y: x.copy_(y),
    "clamp_": lambda x, y: x.clamp_(-1, 1), "clamp_ min": lambda x, y: x.clamp_(min=0),
    "addcmul_": lambda x, y: x.addcmul_(x, y, value=0.5), "addcdiv_": lambda x, y: x.addcdiv_(x, y, value=0.5),
    "lerp_": lambda x, y: x.lerp_(y.expand(2, 3), 0.25), "abs_": lambda x, y: x.abs_(), "exp_": lambda x, y: x.exp_(),
    "relu_": lambda x, y: x.relu_(), "tanh_": lambda x, y: x.tanh_(), "sigmoid_": lambda x, y: x.sigmoid_(),
    "masked_fill_": lambda x, y: x.masked_fill_(x > 0, 9.0), "abs sqrt_": lambda x, y: x.abs_().sqrt_(),
    "copy_ of itself": lambda x, y: x.copy_(x * y), "reciprocal_": lambda x, y: x.reciprocal_(),
    **{op.__name__: lambda x, y, op=op: op(x, y) for op in OPERATORS}, "ipow": lambda x, y: operator.ipow(x, 2),
    "a number": lambda x, y: operator.iadd(x, 3),
}


@pytest.mark.parametrize("write", METHODS.values(), ids=METHODS)
def test_writes_into_the_same_array(write, torch):
    x, reference = Tensor(A), torch.tensor(A)
    array, view = x.data, x.detach()[1]
    assert write(x, Tensor(B)) is x and x.data is array and array.dtype == np.float32
    expected = write(reference, torch.tensor(B)).numpy()
    np.testing.assert_allclose(array, expected, rtol=1e-6)
    np.testing.assert_allclose(view.data, expected[1], rtol=1e-6)


READ_THEMSELVES = {"addcmul_", "addcdiv_", "copy_ of itself"}  # PyTorch's backward pass refuses what ours can do


@pytest.mark.parametrize("write", [METHODS[name] for name in METHODS if name not in READ_THEMSELVES],
                         ids=[name for name in METHODS if name not in READ_THEMSELVES])
def test_inside_of_a_graph_the_gradients_are_pytorchs(write, torch):
    def gradients(tensor, module):
        x, y = (tensor(array) for array in (A, B))
        x.requires_grad_(), y.requires_grad_()
        inner = x * 1.0
        assert write(inner, y) is inner
        (inner * inner.detach().cos()).sum().backward()
        return [None if t.grad is None else np.asarray(t.grad) for t in (x, y)]

    for ours, expected in zip(gradients(Tensor, tinytorch), gradients(torch.tensor, torch)):
        if expected is None:
            assert ours is None or not ours.any()
        else:
            np.testing.assert_allclose(np.zeros_like(expected) if ours is None else ours, expected, rtol=1e-5)


@pytest.mark.parametrize("write", METHODS.values(), ids=METHODS)
def test_a_leaf_that_wants_a_gradient_is_refused_while_recording_and_written_otherwise(write, torch):
    leaf = Tensor(A, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf.*no_grad"):
        write(leaf, Tensor(B))
    assert np.array_equal(leaf.data, A) and leaf.is_leaf
    with pytest.raises(RuntimeError, match="leaf"):
        write(torch.tensor(A).requires_grad_(), torch.tensor(B))
    with no_grad():
        write(leaf, Tensor(B))
    assert leaf.is_leaf and leaf.requires_grad
    np.testing.assert_allclose(leaf.data, write(torch.tensor(A), torch.tensor(B)), rtol=1e-6)


def test_the_loop_that_everybody_writes():
    model = nn.Linear(3, 1)
    before = {name: p.data.copy() for name, p in model.named_parameters()}
    model(Tensor(A)).sum().backward()
    with no_grad():
        for p in model.parameters():
            p -= 0.1 * p.grad
        model.weight *= 0.5
    assert set(model.state_dict()) == {"weight", "bias"} and isinstance(model.weight, nn.Parameter)
    np.testing.assert_allclose(model.bias.data, before["bias"] - 0.1 * 2, rtol=1e-6)
    np.testing.assert_allclose(model.weight.data, 0.5 * (before["weight"] - 0.1 * A.sum(0)), rtol=1e-5)


@pytest.mark.parametrize("make, write, words", [
    (lambda t: t.ones(2), lambda x, t: x.add_(t.ones(3, 2)), "shape"),
    (lambda t: t.arange(3), lambda x, t: operator.iadd(x, 0.5), "float32.*int64|Float.*Long"),
    (lambda t: t.arange(3), lambda x, t: operator.itruediv(x, 2), "float32.*int64|Float.*Long"),
    (lambda t: t.ones(2) > 0, lambda x, t: operator.iadd(x, 1), "int64.*bool|Long.*Bool"),
    (lambda t: t.zeros(1).expand(3), lambda x, t: operator.iadd(x, 1), "clone"),
], ids=["shape", "float into int", "quotient into int", "int into bool", "expanded"])
def test_what_does_not_fit_is_refused_and_nothing_changes(make, write, words, torch):
    for library in (tinytorch, torch):
        x = make(library)
        before = x.tolist()
        with pytest.raises(RuntimeError, match=words if library is tinytorch else None):
            write(x, library)
        assert x.tolist() == before


def test_dtypes_stay(torch):
    for write in (lambda x: operator.iadd(x, 2), lambda x: x.fill_(1.5), lambda x: x.mul_(3)):
        for dtype in ("int64", "uint8", "float64", "int32"):
            x, reference = Tensor(np.arange(4, dtype=dtype)), torch.arange(4, dtype=getattr(torch, dtype))
            assert write(x).dtype == dtype and x.tolist() == write(reference).tolist()


def test_random_numbers():
    x, array = tinytorch.zeros(200, 50), None
    array = x.data
    tinytorch.manual_seed(0)
    assert x.normal_(3, 2) is x and x.data is array and abs(array.mean() - 3) < 0.1 and abs(array.std() - 2) < 0.1
    x.uniform_(-1, 2)
    assert array.min() >= -1 and array.max() < 2 and abs(array.mean() - 0.5) < 0.1
    with pytest.raises(TypeError, match="floats.*int64"):
        tinytorch.arange(3).normal_()
    leaf = tinytorch.zeros(2, requires_grad=True)
    tinytorch.manual_seed(0)
    with pytest.raises(RuntimeError, match="leaf"):
        leaf.uniform_()
    drawn = tinytorch.default_generator().random()
    tinytorch.manual_seed(0)
    assert drawn == tinytorch.default_generator().random(), "a refused draw leaves the generator where it was"


# ---- what a graph has saved

def two_layers():
    first, second = nn.Linear(3, 4), nn.Linear(4, 1)
    return first, second, second(first(Tensor(A)).tanh()).sum()


CHANGES = {
    "step": lambda second: tinytorch.optim.SGD(second.parameters(), lr=0.1).step(),
    "Adam": lambda second: tinytorch.optim.Adam(second.parameters()).step(),
    "load_state_dict": lambda second: second.load_state_dict(nn.Linear(4, 1).state_dict()),
    "in place": lambda second: second.weight.mul_(2),
    "through a detached view": lambda second: second.weight.detach()[0].zero_(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("forms", [plain_forms, nullcontext], ids=["plain", "chosen"])
def test_weights_that_changed_under_a_graph(change, forms):
    with forms():
        first, second, loss = two_layers()
        for p in second.parameters():
            p.grad = np.ones_like(p.data)
        with no_grad():
            change(second)
        kept = second.weight.grad.clone()
        with pytest.raises(RuntimeError, match=r"backward: .* shape \(1, 4\) that Linear.*run forward again"):
            loss.backward()
        assert first.weight.grad is None and np.array_equal(second.weight.grad, kept), "nothing was added"
        second(first(Tensor(A)).tanh()).sum().backward()
        assert first.weight.grad is not None


def test_the_message_says_who_wrote():
    _, second, loss = two_layers()
    second.weight.grad = np.ones((1, 4), np.float32)
    tinytorch.optim.AdamW(second.parameters()).step()
    with pytest.raises(RuntimeError, match=r"AdamW\.step changed an array of shape \(1, 4\)"):
        loss.backward()


def test_a_saved_output():
    x = Tensor(A, requires_grad=True)
    out = x.exp()
    with no_grad():
        out += 1
    with pytest.raises(RuntimeError, match=r"\+= changed .* that Exp had saved"):
        out.sum().backward()


def test_what_nobody_saved_may_change():
    weight, bias = Tensor(A, requires_grad=True), Tensor(B, requires_grad=True)
    layer = nn.Linear(3, 2)
    loss = (weight.exp() + bias).sum() + layer(Tensor(A)).sum()
    with no_grad():
        weight *= 2
        bias += 1
        layer.bias.zero_()
    loss.backward()
    np.testing.assert_allclose(weight.grad, np.exp(A), rtol=1e-6)
    kept = Tensor(A, requires_grad=True)
    loss = (kept * 2).sum()
    Tensor(A).mul_(3)
    loss.backward()
    assert (kept.grad == 2).all(), "another array with the same numbers"


def test_a_factor_may_change_where_the_gradient_of_the_other_is_not_wanted(torch):
    "linear regression: the weight was saved for the gradient of the inputs, which PyTorch does not save at all"
    results = []
    for library, array in ((tinytorch, Tensor), (torch, torch.tensor)):
        layer, scale = library.nn.Linear(3, 1), array([2.0], requires_grad=True)
        layer.load_state_dict({"weight": array(A[:1]), "bias": array(B[:1])})
        optimizer = library.optim.SGD([*layer.parameters(), scale], lr=0.1)
        loss = layer(array(A)).square().sum() + (array(A) @ layer.weight.T).square().sum() + (scale * array(B)).sum()
        for _ in range(2):
            loss.backward(retain_graph=True)
            optimizer.step()
        results.append([np.array(p.grad) for p in (layer.weight, layer.bias, scale)])
    for ours, expected in zip(*results):
        np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_a_training_loop_of_two_networks(torch):
    "The usual order of a GAN's steps works; the wrong one is refused, in PyTorch as well."
    def losses(library):
        generator, critic = library.nn.Linear(2, 3), library.nn.Linear(3, 1)
        judge = library.optim.SGD(critic.parameters(), lr=0.1)
        fake = generator(library.ones(4, 2))
        real = critic(library.ones(4, 3)).sum() - critic(fake.detach()).sum()
        return critic, judge, critic(fake).sum(), real

    for library in (tinytorch, torch):
        critic, judge, fooled, real = losses(library)
        real.backward()
        fooled.backward()
        judge.step()
        critic, judge, fooled, real = losses(library)
        real.backward()
        judge.step()
        with pytest.raises(RuntimeError):
            fooled.backward()


def test_memory_is_forgotten_with_its_array():
    gc.collect()
    before = len(writes.last)
    for _ in range(5):
        tinytorch.ones(3).add_(1)
    gc.collect()
    assert len(writes.last) == before
