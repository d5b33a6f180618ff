"""Checkpointed blocks: the same gradients to the last bit, less memory, and what cannot be is refused."""
import gc
import tracemalloc

import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, fast, nn, no_grad
from tinytorch.nn import functional as F
from tinytorch.optim import SGD
from tinytorch.recomputation import Checkpointed, best_segment, checkpoint, checkpoint_sequential, checkpointing
from tinytorch.state import default_generator, observed_by, thread


def gpt(**options):
    tinytorch.manual_seed(0)
    sizes = dict(vocab_size=31, context=16, d_model=24, num_layers=3, num_heads=3, dropout=0.2)
    return nn.GPT(nn.GPTConfig(**sizes | options))


def batch(vocabulary=31, size=2, length=12):
    return [Tensor(np.random.default_rng(i).integers(vocabulary, size=(size, length))) for i in range(2)]


def gradients(model, every=None):
    ids, targets = batch()
    model.zero_grad()
    tinytorch.manual_seed(3)
    if every is None:
        loss = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
    else:
        with checkpointing(model.transformer.blocks, every):
            loss = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
    loss.backward()
    return [loss.data, *(p.grad.data for p in model.parameters())], default_generator().random()


def same(xs, ys):
    return all(x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(xs, ys, strict=True))


@pytest.mark.parametrize("level", ["plain", "numpy"])
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("options", [{}, {"positions": "rotary", "norm": "rms_norm", "activation": "swiglu"}])
def test_gradients_are_the_same_to_the_last_bit(level, every, options):
    model = gpt(**options)
    with fast.use(level):
        (plain, after), (found, after_it) = gradients(model), gradients(model, every)
    assert same(plain, found) and after == after_it


def test_they_add_up_over_batches_and_reach_what_was_there():
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2)), Tensor(np.ones((3, 4), np.float32))

    def twice(forward):
        tinytorch.manual_seed(0)
        model.zero_grad()
        for scale in (1, 3):
            (forward(x) * scale).sum().backward()
        return [p.grad.data for p in model.parameters()]
    assert same(twice(model), twice(lambda x: checkpoint(model, x)))


def test_hooks_see_each_gradient_once_and_whole():
    w, x, seen = Tensor([2.0], requires_grad=True), Tensor([3.0], requires_grad=True), []
    w.register_hook(lambda grad: seen.append(grad.tolist()) or grad * 10)
    out = checkpoint(lambda x: x * w + w, x)
    (out + w).backward()
    assert seen == [[5.0]] and w.grad.tolist() == [50.0] and x.grad.tolist() == [2.0]


def test_again_with_retain_graph():
    w, x = Tensor([2.0, 1.0], requires_grad=True), Tensor([3.0, 4.0], requires_grad=True)
    tinytorch.manual_seed(1)
    out = checkpoint(lambda x: F.dropout(x * w, 0.5), x).sum()
    out.backward(retain_graph=True)
    once = w.grad.data.copy()
    out.backward()
    assert np.array_equal(w.grad.data, 2 * once)
    with pytest.raises(RuntimeError, match="retain_graph"):
        out.backward()


def test_inside_of_one_another():
    layers = nn.Sequential(*[nn.Linear(3, 3) for _ in range(3)])
    x = Tensor(np.ones((2, 3), np.float32), requires_grad=True)

    def inner(x):
        return checkpoint(layers[1], checkpoint(layers[0], x))
    found = []
    for forward in (layers, lambda x: layers[2](checkpoint(inner, x))):
        layers.zero_grad()
        x.grad = None
        forward(x).tanh().sum().backward()
        found.append([x.grad.data, *(p.grad.data for p in layers.parameters())])
    assert same(*found)


def test_several_inputs_some_of_them_no_tensors():
    block = nn.TransformerBlock(nn.GPTConfig(vocab_size=5, context=6, d_model=8, num_heads=2))
    x = Tensor(np.random.default_rng(0).standard_normal((2, 6, 8)), requires_grad=True, dtype=np.float32)
    found = []
    for call in (block(x, None, True), checkpoint(block, x, None, True), checkpoint(block, x, is_causal=True)):
        x.grad = None
        block.zero_grad()
        (call * call).sum().backward()
        found.append([call.data, x.grad.data, *(p.grad.data for p in block.parameters())])
    assert same(found[0], found[1]) and same(found[0], found[2])


def test_a_block_that_gives_its_input_or_a_leaf():
    x, w = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0], requires_grad=True)
    (checkpoint(lambda x: x, x) * 2).sum().backward()
    checkpoint(lambda x: w, x).backward()
    assert x.grad.tolist() == [2, 2] and w.grad.tolist() == [1]


def test_what_is_inside_is_gone_after_the_forward_pass():
    "even where an operation and its parts hold each other"
    block = nn.TransformerBlock(nn.GPTConfig(vocab_size=5, context=64, d_model=64, num_heads=2))
    x = Tensor(np.ones((8, 64, 64), np.float32), requires_grad=True)
    gc.collect()
    gc.disable()
    try:
        for level in ("plain", "numpy"):
            with fast.use(level):
                tracemalloc.start()
                out = checkpoint(block, x, is_causal=True)
                kept, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
                assert out.data.nbytes <= kept < 1.5 * out.data.nbytes, level
    finally:
        gc.enable()


def peak(step):
    step()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    step()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most - before


@pytest.mark.parametrize("level", ["plain", "numpy"])
def test_a_deep_model_takes_half_the_memory_or_less(level):
    "12 blocks like those of benchmarks' W4, on fewer tokens; the gradients of all weights are a part of it"
    tinytorch.manual_seed(0)
    config = nn.GPTConfig(vocab_size=2048, context=64, d_model=128, num_layers=12, num_heads=8, tied_head=False)
    model, (ids, targets) = nn.GPT(config), batch(2048, 8, 64)

    def step():
        model.zero_grad()
        F.cross_entropy(model(ids).flatten(0, 1), targets.flatten()).backward()

    def checkpointed():
        with checkpointing(model.transformer.blocks):
            step()
    with fast.use(level):
        assert peak(checkpointed) <= 0.5 * peak(step)


def test_the_model_is_as_it_was():
    model = gpt()
    blocks, names = list(model.transformer.blocks), list(model.state_dict())
    with pytest.raises(KeyError), checkpointing(model.transformer.blocks, every=2):
        kinds = [type(block) for block in model.transformer.blocks]
        assert kinds == [Checkpointed, nn.TransformerBlock, Checkpointed]
        raise KeyError
    assert all(map(lambda x, y: x is y, blocks, model.transformer.blocks)) and list(model.state_dict()) == names
    with no_grad(), checkpointing(model.transformer.blocks):
        assert model(batch()[0]).grad_fn is None


def test_operations_inside_are_observed():
    seen = []
    x = Tensor(np.ones(3), requires_grad=True)
    with observed_by(lambda half, *arrays: seen.append(half.__self__.name) or half(*arrays)):
        checkpoint(lambda x: x.tanh(), x).sum().backward()
    assert seen.count("Tanh") == 3, "forward, forward again, backward"
    assert thread.observer is None


@pytest.mark.parametrize("block, says", [(lambda x: (x, x), "one Tensor, got tuple"), (lambda x: 3, "got int")])
def test_a_block_has_one_result(block, says):
    with pytest.raises(TypeError, match=says):
        checkpoint(block, Tensor([1.0], requires_grad=True))


def test_a_block_that_reads_what_was_computed_outside():
    x = Tensor([1.0], requires_grad=True)
    outside = x * 2
    with pytest.raises(TypeError, match="outside"):
        checkpoint(lambda x: x * outside, x)
    outside.backward()
    assert x.grad.tolist() == [2], "that graph is whole"


def test_a_block_that_is_another_the_second_time():
    layer, x = nn.Dropout(0.5), Tensor(np.ones(64, np.float32), requires_grad=True)
    out = checkpoint(layer, x)
    layer.eval()
    state = default_generator().bit_generator.state
    with pytest.raises(RuntimeError, match="other numbers.*another mode"):
        out.sum().backward()
    assert x.grad is None and default_generator().bit_generator.state == state
    own = np.random.default_rng(0)
    with pytest.raises(RuntimeError, match="generator of its own"):
        checkpoint(lambda x: x * own.random(), x).sum().backward()


def test_weights_that_were_overwritten():
    model, x = nn.Linear(3, 3), Tensor(np.ones((1, 3), np.float32))
    loss = checkpoint(model, x).sum()
    model.zero_grad()
    (model(x) * 2).sum().backward()
    SGD(model.parameters(), lr=0.1).step()
    with pytest.raises(RuntimeError, match="SGD.step"):
        loss.backward()


@pytest.mark.parametrize("segments", [1, 2, 3, 5])
def test_a_chain_in_segments(segments):
    layers = [nn.Linear(4, 4) for _ in range(5)]
    x = Tensor(np.ones((2, 4), np.float32), requires_grad=True)
    found = []
    for forward in (nn.Sequential(*layers), lambda x: checkpoint_sequential(layers, segments, x)):
        x.grad = None
        for layer in layers:
            layer.zero_grad()
        forward(x).tanh().sum().backward()
        found.append([x.grad.data, *(p.grad.data for layer in layers for p in layer.parameters())])
    assert same(*found)


@pytest.mark.parametrize("segments", [0, -1, 4])
def test_so_many_segments_cannot_be(segments):
    with pytest.raises(ValueError, match=f"{segments} segments, expected 1 to 3"):
        checkpoint_sequential([lambda x: x] * 3, segments, Tensor([1.0]))


def test_the_best_segment_grows_with_the_root_of_the_depth():
    assert [best_segment(n * n, 1) for n in (1, 2, 5, 10, 20)] == [1, 2, 5, 10, 20]
