"""What the room of PyTorch's further spellings promises, beyond values and gradients (those: tests/operations)."""
import io
import math

import numpy as np
import pytest

import tinytorch
import tinytorch.utils.data
from tinytorch import Tensor, nn, optim
from tinytorch.checkpoint import CheckpointError

NESTED = {"a": [1, 2.5, None, True], "b": (Tensor([1.0, 2.0]), np.arange(3)), 3: {"c": "text"}}


# ---- files

def same(a, b):
    if isinstance(a, (Tensor, np.ndarray)):
        return type(a) is type(b) and a.dtype == b.dtype and np.array_equal(np.asarray(a), np.asarray(b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_what_is_saved_is_loaded(tmp_path):
    tinytorch.save(NESTED, tmp_path / "file.pt")
    memory = io.BytesIO()
    tinytorch.save(NESTED, memory)
    memory.seek(0)
    assert same(tinytorch.load(tmp_path / "file.pt", map_location="cpu"), NESTED)
    assert same(tinytorch.load(memory), NESTED)


@pytest.mark.parametrize("wrong", [{"a": {"b": [object()]}}, {(1, 2): 3}, nn.Linear(1, 1), {"a": {1, 2}},
                                   np.array([object()])], ids=["object", "key", "module", "set", "objects"])
def test_what_cannot_be_saved_leaves_the_file_as_it_was(wrong, tmp_path):
    path = tmp_path / "file.pt"
    tinytorch.save([1], path)
    with pytest.raises(TypeError, match="save"):
        tinytorch.save(wrong, path)
    assert tinytorch.load(path) == [1] and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("bytes_of", [
    lambda b: b"", lambda b: b"PK\x03\x04", lambda b: b[:-30], lambda b: b"text", lambda b: b[:200] + b"xxxx" + b[204:],
], ids=["empty", "head", "cut", "text", "hit"])
def test_a_file_that_is_no_such_file_is_refused(bytes_of, tmp_path):
    path = tmp_path / "file.pt"
    tinytorch.save(NESTED, path)
    path.write_bytes(bytes_of(path.read_bytes()))
    with pytest.raises(CheckpointError, match="file.pt"):
        tinytorch.load(path)


def test_a_file_runs_no_code(tmp_path, torch):
    path = tmp_path / "theirs.pt"
    torch.save({"a": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match="safetensors"):
        tinytorch.load(path)
    np.savez(tmp_path / "pickled.npz", structure=np.array([{"a": 1}], object))
    with pytest.raises(CheckpointError):
        tinytorch.load(tmp_path / "pickled.npz")


# ---- random numbers and places

def test_a_generator_of_ones_own_leaves_the_librarys_alone():
    tinytorch.manual_seed(1)
    expected = tinytorch.rand(3).tolist()
    tinytorch.manual_seed(1)
    own = tinytorch.Generator().manual_seed(5)
    first = [tinytorch.randn(2, generator=own).tolist(), tinytorch.randint(9, (3,), generator=own).tolist()]
    assert tinytorch.rand(3).tolist() == expected
    own.manual_seed(5)
    assert first == [tinytorch.randn(2, generator=own).tolist(), tinytorch.randint(9, (3,), generator=own).tolist()]


def test_draws_follow_their_weights():
    tinytorch.manual_seed(0)
    weights = Tensor([1.0, 0.0, 3.0])
    for replacement in (True, False):
        draws = [tinytorch.multinomial(weights, 2, replacement).tolist() for _ in range(2000)]
        first = np.array(draws)[:, 0]
        assert 1 not in np.array(draws) and abs((first == 2).mean() - 0.75) < 0.04
        assert replacement or all(a != b for a, b in draws)


def test_a_device_is_the_cpu():
    assert tinytorch.device("cpu:0") == tinytorch.device("cpu") == Tensor([1.0]).device
    assert not tinytorch.cuda.is_available() and str(tinytorch.device("cpu")) == "cpu"


# ---- gradients, hooks and switches

def test_hooks_see_the_whole_gradient_once():
    x, seen = Tensor([1.0, 2.0], requires_grad=True), []
    x.register_hook(lambda grad: seen.append(grad.tolist()))
    (x * 2 + x * x).sum().backward()
    assert seen == [[4, 6]] and x.grad.tolist() == [4, 6]


def test_a_hook_may_change_the_gradient_but_not_its_shape():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    handle = y.register_hook(lambda grad: grad * 10)
    y.sum().backward(retain_graph=True)
    assert x.grad.tolist() == [30, 30]
    handle.remove()
    y.register_hook(lambda grad: grad.sum())
    with pytest.raises(RuntimeError, match="shape"):
        y.sum().backward()


def test_gradients_of_inputs_leave_those_of_leaves_alone():
    x, y = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 4.0], requires_grad=True)
    x.grad = Tensor([7.0, 7.0])
    z = x * y
    dz, dx = tinytorch.autograd.grad((z * z).sum(), [z, x])
    assert dz.tolist() == [6, 16] and dx.tolist() == [18, 64] and x.grad.tolist() == [7, 7] and y.grad is None
    (only,) = tinytorch.autograd.grad(x * 2, x, grad_outputs=Tensor([1.0, 10.0]))
    assert only.tolist() == [2, 20]
    assert tinytorch.autograd.grad(x.sum(), y) == (None,)


def test_hooks_of_a_module_run_forward_and_backward():
    layer, seen = nn.Linear(2, 1, bias=False), []
    layer.weight.data[...] = [[2.0, 3.0]]
    layer.register_full_backward_hook(lambda module, inputs, outputs: seen.append((inputs[0].tolist(),
                                                                                   outputs[0].tolist())))
    x = Tensor([[1.0, 1.0]], requires_grad=True)
    (layer(x) * 5 + x.sum()).backward()
    assert seen == [([[10, 15]], [[5]])] and x.grad.tolist() == [[11, 16]]


def test_recording_is_switched_and_switched_back():
    x = Tensor([1.0], requires_grad=True)
    with tinytorch.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    tinytorch.set_grad_enabled(False)
    try:
        assert not tinytorch.is_grad_enabled()
    finally:
        tinytorch.set_grad_enabled(True)
    with tinytorch.inference_mode():
        assert not (x * 2).requires_grad


# ---- NumPy beside tensors

def test_arrays_and_tensors_meet_in_operators():
    array, x = np.array([1.0, 2.0], np.float32), Tensor([3.0, 4.0], requires_grad=True)
    for result in (array + x, array * x, array - x, array / x, array ** x):
        assert isinstance(result, Tensor) and result.requires_grad
    assert (array < x).tolist() == [True, True] and isinstance(np.abs(x.detach()), Tensor)
    array += x.detach()
    assert isinstance(array, np.ndarray) and array.tolist() == [4, 6]
    with pytest.raises(RuntimeError, match="detach"):
        np.exp(x)


def test_written_elements_are_watched_by_the_graph():
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    y, weights = x * 1, Tensor([5.0, 5.0, 5.0])
    z = (y * weights).sum()
    weights[1] = 0.0
    with pytest.raises(RuntimeError, match="item assignment"):
        z.backward()


# ---- a model's options

def test_a_gpt_takes_the_base_of_its_angles_and_the_eps_of_its_norms():
    options = {"vocab_size": 5, "context": 4, "d_model": 4, "num_heads": 2, "positions": "rotary"}
    for norm, own in (("layer_norm", 1e-5), ("rms_norm", None)):
        for eps, base in ((None, 10000.0), (1e-3, 500.0)):
            model = nn.GPT(nn.GPTConfig(**options, norm=norm, norm_eps=eps, rotary_base=base))
            bases = {module.base for module in model.modules() if isinstance(module, nn.Rotary)}
            norms = {m.eps for m in model.modules() if isinstance(m, (nn.LayerNorm, nn.RMSNorm))}
            assert bases == {base} and norms == {own if eps is None else eps}


# ---- optimizers and clipping, step by step beside PyTorch's

MAKERS = {
    "rmsprop": lambda o, p: o.RMSprop(p, lr=0.05), "rmsprop momentum": lambda o, p: o.RMSprop(p, 0.05, momentum=0.9),
    "rmsprop centered": lambda o, p: o.RMSprop(p, 0.05, centered=True, momentum=0.5, weight_decay=0.1),
    "adagrad": lambda o, p: o.Adagrad(p, 0.3), "adagrad decay": lambda o, p: o.Adagrad(p, 0.3, 0.1, weight_decay=0.1),
}


@pytest.mark.parametrize("name", MAKERS)
def test_steps_are_those_of_pytorch(name, torch):
    results = []
    for library, make in ((torch, torch.tensor), (tinytorch, tinytorch.tensor)):
        p = make([1.0, -2.0, 0.5], dtype=library.float64, requires_grad=True)
        optimizer = MAKERS[name](library.optim, [p])
        for i in range(6):
            optimizer.zero_grad()
            ((p - i * 0.3) ** 2 * make([1.0, 2.0, 3.0], dtype=library.float64)).sum().backward()
            optimizer.step()
        results.append(p.detach().numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-9)


def test_clipping_that_must_not_meet_infinity():
    p = Tensor([1.0, 2.0], requires_grad=True)
    p.grad = Tensor([math.inf, 1.0])
    with pytest.raises(RuntimeError, match="inf"):
        nn.utils.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert p.grad.tolist() == [math.inf, 1.0]
    assert isinstance(optim.SGD([p], lr=0.1).state, dict)
