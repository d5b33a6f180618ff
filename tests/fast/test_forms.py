"""Each fast form computes what the plain operation computes: values and gradients, any layout, any dtype, extremes."""
import functools
import gc
import importlib.util
import os
import re
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest
from fast.forms import assert_same, check_form, made, numbers

from tinytorch import Tensor, fast, manual_seed, no_grad
from tinytorch.fast import attention, optimizers
from tinytorch.fast.registry import registry
from tinytorch.generation import LayerCache
from tinytorch.nn.activations import ErfGelu, ReluSquared, SiLUFunction, TanhGelu
from tinytorch.nn.attention import Attention, self_attention
from tinytorch.nn.convolution import AvgPoolFunction, BatchNormFunction, ConvFunction, MaxPoolFunction
from tinytorch.nn.embedding import EmbeddingFunction, Rotary, rotate, scatter_add_rows
from tinytorch.nn.layers import LinearFunction, linear
from tinytorch.nn.losses import CrossEntropyFunction
from tinytorch.nn.normalization import LayerNormFunction, RMSNormFunction
from tinytorch.ops.reductions import LogSoftmax, MatMul, Softmax
from tinytorch.optim import adam_update, new_moments
from tinytorch.quantization import IntegerProduct

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")
SHAPES = [(), (1,), (1, 1), (3, 5), (2, 3, 33), (70, 4), (2, 0), (0, 3)]
ACTIVATIONS = [TanhGelu, ErfGelu, SiLUFunction, ReluSquared]


def need_numba():
    if importlib.util.find_spec("numba") is None:
        assert not os.environ.get("CI"), "numba must be there in CI: pip install -e '.[test]'"
        pytest.skip("the compiled forms need numba: pip install numba")


@pytest.fixture(params=["numpy", "compiled"])
def level(request):
    if request.param == "compiled":
        need_numba()
    return request.param


@pytest.fixture(params=[np.float32, np.float64])
def dtype(request):
    return request.param


def test_every_form_is_compared_here():
    source = Path(__file__).read_text()
    elsewhere = {"PackedAttention", "self_attention", "IntegerProduct"}  # the last in tests/22_quantization
    assert {operation.__name__ for operation in registry} - elsewhere <= \
        {name for name in re.findall(r"\w+", source)}


def test_the_compiled_product_of_integers_is_taken(level):
    "What it computes: tests/22_quantization, which students run with a product of their own."
    with fast.use(level):
        assert type(IntegerProduct()).__name__ == ("Compiled" if level == "compiled" else "") + "IntegerProduct"


# ---- activations

@pytest.mark.parametrize("shape", [*SHAPES, (40_000,)])
@pytest.mark.parametrize("make", ACTIVATIONS)
def test_activation(level, make, shape, dtype):
    check_form(level, make, np.asarray(numbers(*shape, scale=4, dtype=dtype)))


@pytest.mark.parametrize("make", ACTIVATIONS)
def test_activation_of_what_is_not_finite(level, make):
    check_form(level, make, np.array([np.nan, 0, -0.0, 100, -100, 1e-30], np.float32))
    value = made(level, make).forward(np.array([np.inf, np.nan], np.float32))
    assert value[0] == np.inf and np.isnan(value[1])


@pytest.mark.parametrize("make", [TanhGelu, SiLUFunction])
@pytest.mark.parametrize("lay", [lambda x: x.T, lambda x: x[::2, ::-1], lambda x: np.broadcast_to(x[0], (4, 6))])
def test_activation_of_any_layout(level, make, lay):
    x = lay(numbers(8, 6))
    assert not x.flags.c_contiguous
    check_form(level, make, x)


def test_without_a_gradient_no_slope_is_kept(level):
    operation = made(level, TanhGelu)
    operation.needs_grad = (False,)
    operation.forward(numbers(3))
    assert not hasattr(operation, "derivative")


def test_integers_are_refused_by_name(level):
    for make in (Softmax, LogSoftmax):
        with pytest.raises(TypeError, match="int64"):
            made(level, functools.partial(make, -1)).forward(np.arange(3))


# ---- rows

@pytest.mark.parametrize("Norm", [LayerNormFunction, RMSNormFunction])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (2, 3, 33), (130, 4), (2, 0), (0, 3)])
@pytest.mark.parametrize("given", [(), (True,), (True, True), (False, True)])
def test_norm(level, Norm, shape, given, dtype):
    given = given[:1] if Norm is RMSNormFunction else given  # it has no bias
    vectors = numbers(2, shape[-1], seed=1, dtype=dtype)
    check_form(level, Norm, numbers(*shape, dtype=dtype), *[v if g else None for v, g in zip(vectors, given)])


@pytest.mark.parametrize("Norm", [LayerNormFunction, RMSNormFunction])
def test_norm_over_two_dims_of_a_strided_array(level, Norm, dtype):
    x, weight = numbers(4, 3, 5, dtype=dtype).transpose(1, 2, 0), numbers(5, 4, seed=1, dtype=dtype)
    check_form(level, lambda: Norm(2), x, weight)


def test_layer_norm_far_from_zero(level):
    check_form(level, LayerNormFunction, numbers(3, 64, scale=1) + np.float32(3000), numbers(64, seed=1))
    constant = made(level, LayerNormFunction).forward(np.full((2, 5), 1234.567, np.float32))
    assert not constant.any()


def test_norm_of_many_rows_adds_them_up_exactly(level):
    x, grad = numbers(5000, 3), numbers(5000, 3, seed=1) + 1
    operation = made(level, RMSNormFunction)
    xhat = operation.forward(x, np.ones(3, np.float32))
    dweight = operation.backward(grad)[1]
    assert np.allclose(dweight, (grad.astype(np.float64) * xhat).sum(0), rtol=3e-6)


@pytest.mark.parametrize("make", [Softmax, LogSoftmax])
@pytest.mark.parametrize("shape, dim", [((3, 5), -1), ((2, 3, 70), 2), ((3, 5), 0), ((4,), 0), ((), -1), ((), 0),
                                        ((2, 0), -1), ((0, 2), 1)])
def test_softmax(level, make, shape, dim, dtype):
    check_form(level, lambda: make(dim), np.asarray(numbers(*shape, scale=10, dtype=dtype)))


@pytest.mark.parametrize("make", [Softmax, LogSoftmax])
def test_softmax_with_masks_and_worse(level, make):
    rows = np.array([[0, -np.inf, 3], [-np.inf] * 3, [np.nan, 0, 1], [np.inf, 0, 1], [1e30, -1e30, 0]], np.float32)
    with np.errstate(all="ignore"):
        assert_same([made(level, lambda: make(-1)).forward(rows)], [made("plain", lambda: make(-1)).forward(rows)])


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("shape", [(1, 1), (6, 3), (5, 70), (300, 600)])
def test_cross_entropy(level, shape, smoothing, reduction, dtype):
    dice = np.random.default_rng(0)
    target = dice.integers(0, shape[1], shape[0])
    if shape[0] > 1:
        target[1] = -100
    for weight in (None, dice.random(shape[1]).astype(dtype)):
        make = functools.partial(CrossEntropyFunction, weight, -100, smoothing, reduction)
        check_form(level, make, numbers(*shape, scale=10, dtype=dtype), target)
        check_form(level, make, np.asfortranarray(numbers(*shape, dtype=dtype)), target.astype(np.int32))


def test_cross_entropy_of_confident_and_of_masked_logits(level):
    x = np.array([[1e4, -1e4, 0], [-np.inf, 0, 1], [0, np.nan, 1]], np.float32)
    check_form(level, CrossEntropyFunction, x, np.array([1, 2, 0]))


def test_cross_entropy_of_nothing_that_counts(level):
    make = functools.partial(CrossEntropyFunction, reduction="mean")
    check_form(level, make, numbers(2, 3), np.array([-100, -100]))


# ---- products

@pytest.mark.parametrize("shape, out, bias", [((2, 3), 4, True), ((3,), 4, True), ((2, 5, 3), 1, False),
                                              ((0, 3), 4, True), ((2, 0), 4, True), ((2, 2, 2, 3), 0, False)])
def test_linear(level, shape, out, bias, dtype):
    weight, b = numbers(out, shape[-1], seed=1, dtype=dtype), numbers(out, seed=2, dtype=dtype)
    check_form(level, LinearFunction, numbers(*shape, dtype=dtype), weight, b if bias else None)


@pytest.mark.parametrize("x, y", [((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((3,), (3, 2)),
                                  ((3,), (3,)), ((5, 2, 3), (3,)), ((2, 0, 3), (3, 4)), ((1, 2, 3), (4, 3, 2))])
def test_matmul(level, x, y, dtype):
    check_form(level, MatMul, numbers(*x, dtype=dtype), numbers(*y, seed=1, dtype=dtype))


# ---- attention

@pytest.fixture(params=["numpy", "compiled", "by loops", "by loops in threads"])
def attention_level(request, monkeypatch):
    "A level, and for compiled attention also what long contexts and several threads get, whatever the size."
    if request.param != "numpy":
        need_numba()
    if request.param.startswith("by loops"):
        monkeypatch.setattr(fast.heads, "threads_of_loops", lambda *_: 3 if "threads" in request.param else 1)
        return "compiled"
    return request.param


def heads(*leading, queries, keys, d=4, e=4, dtype=np.float32):
    sizes = (queries, d), (keys, d), (keys, e)
    return [numbers(*leading, *size, seed=i, dtype=dtype) for i, size in enumerate(sizes)]


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("queries, keys", [(1, 1), (5, 5), (3, 20), (4, 2), (130, 130), (70, 9)])
def test_attention(attention_level, queries, keys, is_causal, dtype):
    inputs = heads(2, 3, queries=queries, keys=keys, e=6, dtype=dtype)
    check_form(attention_level, lambda: Attention(is_causal), *inputs)
    check_form(attention_level, lambda: Attention(is_causal, scale=0.3), *(x.swapaxes(0, 1) for x in inputs))


@pytest.mark.parametrize("shape", [(5, 7), (2, 1, 5, 7), (1, 7), (7,), (5, 1)])
def test_attention_with_a_mask(attention_level, shape, dtype):
    inputs = heads(2, 3, queries=5, keys=7, dtype=dtype)
    allowed = np.random.default_rng(0).random(shape) < 0.6
    check_form(attention_level, Attention, *inputs, allowed)
    check_form(attention_level, Attention, *inputs, np.where(allowed, 0, -np.inf).astype(dtype))
    check_form(attention_level, Attention, *inputs, numbers(*shape, seed=5, dtype=dtype))


def test_a_query_that_sees_nothing(attention_level):
    inputs, mask = heads(queries=3, keys=4), np.ones((3, 4), bool)
    mask[1] = False
    check_form(attention_level, Attention, *inputs, mask)


def test_attention_over_broadcast_heads(attention_level, dtype):
    query, key, value = heads(queries=3, keys=4, dtype=dtype)
    check_form(attention_level, Attention, numbers(2, 5, 3, 4, dtype=dtype), key, value[None])


@pytest.mark.parametrize("p", [0.4, 1.0])
def test_the_dropout_mask_is_the_same(attention_level, p):
    results = []
    for which in ("plain", attention_level):
        manual_seed(3)
        operation = made(which, lambda: Attention(dropout_p=p))
        results.append([operation.forward(*heads(2, queries=6, keys=6)), *operation.backward(numbers(2, 6, 4))[:3]])
    assert_same(results[1], results[0])


@pytest.mark.parametrize("options", [{}, {"is_causal": True}, {"dropout_p": 0.3}, {"rotary": Rotary(4, 9)},
                                     {"rotary": Rotary(4, 9), "is_causal": True}], ids=str)
def test_self_attention(attention_level, options, dtype):
    found, mask = [], np.random.default_rng(0).random((9, 9)) < 0.7
    for which in ("plain", attention_level):
        for masks in (None, Tensor(mask), Tensor(numbers(9, 9, dtype=dtype), requires_grad=True)):
            if masks is not None and "is_causal" in options:
                continue
            packed = Tensor(numbers(2, 9, 24, dtype=dtype), requires_grad=True)
            with fast.use(which):
                manual_seed(0)
                out = self_attention(packed, 2, masks, **options)
                out.backward(numbers(2, 9, 8, seed=1, dtype=dtype))
            found.append([out.data, packed.grad.data, None if masks is None or masks.grad is None else masks.grad.data])
    half = len(found) // 2
    for plain, form in zip(found[:half], found[half:]):
        assert_same(form, plain)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("options", [{"is_causal": True}, {"rotary": Rotary(4, 99)}, {"dropout_p": 0.3},
                                     {"attn_mask": np.tri(70) > 0}], ids=["causal", "rotary", "dropout", "mask"])
def test_grouped_self_attention(attention_level, groups, options):
    found, width, length = [], (4 + 2 * groups) * 4, 9 if "dropout_p" in options else 70  # 70: two blocks of queries
    for which in ("plain", attention_level):
        packed = Tensor(numbers(2, length, width), requires_grad=True)
        with fast.use(which):
            manual_seed(0)
            out = self_attention(packed, 4, num_kv_heads=groups, **options)
            out.backward(numbers(2, length, 16, seed=1))
        found.append([out.data, packed.grad.data])
    assert_same(found[1], found[0])


@pytest.mark.parametrize("tokens, blocks", [(64, 2), (65, 2), (96, 3)])
@pytest.mark.parametrize("groups", [2, 4])
def test_narrow_blocks_of_a_causal_batch(level, groups, tokens, blocks, dtype):
    found = []
    for which in ("plain", level):
        packed = Tensor(numbers(6, tokens, (4 + 2 * groups) * 32, scale=1, dtype=dtype), requires_grad=True)
        with fast.use(which):
            out = self_attention(packed, 4, is_causal=True, num_kv_heads=groups)
            blocks_made = len(getattr(out.grad_fn, "blocks", []))
            out.backward(numbers(6, tokens, 128, seed=1, scale=1, dtype=dtype))
        found.append([out.data, packed.grad.data])
    assert blocks_made == blocks
    assert_same(found[1], found[0])


@pytest.fixture
def by_loops():
    need_numba()
    return made("compiled", lambda: Attention(True))


def test_a_long_context_keeps_no_weights(by_loops, monkeypatch):
    monkeypatch.setattr(fast.heads, "blas_threads", lambda: 1)
    query, key, value = heads(1, 2, queries=2048, keys=2048)
    tracemalloc.start()
    out = by_loops.forward(query, key, value)
    by_loops.backward(out)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert by_loops.threads and most < 2 * 2048 * 2048, "bytes: a fourth of the weights alone"


@pytest.mark.parametrize("blas, keys, d, threads", [
    (1, 128, 4, 0), (1, 256, 16, 1), (1, 256, 32, 0), (2, 256, 4, 0), (1, 8192, 32, 1), (2, 8192, 32, 2),
    (9, 8192, 4, 3)])
def test_loops_are_taken_for_a_long_context(by_loops, monkeypatch, blas, keys, d, threads):
    monkeypatch.setattr(fast.heads, "blas_threads", lambda: blas)
    query = np.empty((3, 1, keys, d), np.float32)
    assert fast.heads.threads_of_loops(query, query, True) == threads
    if keys < 2048:
        by_loops.forward(*heads(3, queries=keys, keys=keys, d=d))
        assert by_loops.threads == threads


def test_threads_of_heads_leave_the_same_bits(by_loops, monkeypatch):
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(fast.heads, "threads_of_loops", lambda *_, threads=threads: threads)
        found.append([by_loops.forward(*heads(5, queries=37, keys=37)), *by_loops.backward(numbers(5, 37, 4))[:3]])
    assert all(np.array_equal(a, b) for one in found[1:] for a, b in zip(one, found[0]))


@pytest.mark.parametrize("scale", [1e38, np.inf, np.nan])
def test_attention_at_the_extremes(attention_level, scale):
    query, key, value = heads(2, queries=7, keys=7)
    with np.errstate(all="ignore"):
        key[0, 2] *= np.float32(scale)
        found = [made(which, Attention).forward(query, key, value) for which in ("plain", attention_level)]
    assert_same([found[1]], [found[0]])


@pytest.mark.parametrize("groups", [1, 2])
def test_grouped_self_attention_with_a_cache(level, groups):
    found, width = [], (4 + 2 * groups) * 4
    for which in ("plain", level):
        cache = LayerCache(16)
        with fast.use(which), no_grad():
            found.append([self_attention(Tensor(numbers(3, T, width, seed=T)), 4, rotary=Rotary(4, 16), cache=cache,
                                         num_kv_heads=groups).data for T in (5, 1, 4, 1)])
    assert_same(found[1], found[0])


def test_self_attention_takes_a_mask_that_is_a_bare_array(level):
    found = []
    for name in ("plain", level):
        with fast.use(name):
            found.append(self_attention(Tensor(numbers(2, 9, 24)), 2, numbers(9, 9) > 0).data)
    np.testing.assert_allclose(*found, atol=1e-6)


@pytest.mark.parametrize("rotary", [None, Rotary(4, 16)], ids=["", "rotary"])
def test_self_attention_with_a_cache(level, rotary):
    found = []
    for which in ("plain", level):
        cache = LayerCache(16)
        with fast.use(which), no_grad():
            found.append([self_attention(Tensor(numbers(3, T, 24, seed=T)), 2, rotary=rotary, cache=cache).data
                          for T in (5, 1, 4, 1)])
    assert_same(found[1], found[0])


class Kept:
    "A cache whose keys and values are `show` of what it keeps."
    def __init__(self, show, length=5):
        self.show, self.length = show, length

    def append(self, key, value):
        kept = numbers(2, *key.shape[:2], self.length, key.shape[-1], seed=1).astype(key.dtype)
        return [self.show(np.concatenate([old, new], axis=2)) for old, new in zip(kept, (key, value))]


@pytest.mark.parametrize("show", [
    lambda rows: rows, lambda rows: rows[:, :, 2:], lambda rows: rows[:, :, ::2], lambda rows: rows[:, ::-1, :, ::-1],
    lambda rows: np.asfortranarray(rows), lambda rows: np.concatenate([rows, rows], axis=2)[:, :, rows.shape[2]:],
    lambda rows: rows.repeat(2, axis=1)[:, ::2], lambda rows: rows * 300, lambda rows: rows * np.nan,
], ids=["all", "newest", "every other", "reversed", "columns first", "behind", "every other head", "large", "nan"])
def test_cached_attention_reads_any_cache(level, show, dtype):
    packed, found = numbers(3, 1, 24, dtype=dtype), []
    for name in ("plain", level):
        with no_grad(), fast.use(name):
            found.append([self_attention(Tensor(packed), 2, cache=Kept(show)).data])
    assert_same(found[1], found[0])


def test_cached_attention_has_no_backward(level):
    with pytest.raises(RuntimeError, match="without a backward pass"):
        made(level, lambda: attention.CachedAttention(2, Kept(np.asarray))).backward(numbers(3, 1, 8))


@pytest.mark.parametrize("mask, error", [(np.ones((9, 9), int), TypeError), (np.ones((4, 9), bool), ValueError)])
def test_self_attention_refuses_what_the_plain_one_refuses(level, mask, error):
    with fast.use(level), pytest.raises(error):
        self_attention(Tensor(numbers(2, 9, 24)), 2, Tensor(mask))


@pytest.mark.parametrize("keys, queries", [(1, 1), (5, 5), (3, 20), (4, 2)])
def test_compiled_softmax_over_keys(keys, queries):
    need_numba()
    form = made("compiled", Attention)
    bias = [None, np.tril(np.full((keys, queries), -np.inf, np.float32), -1), numbers(keys // 2, queries, seed=3),
            numbers(2, 1, keys, queries, seed=4)]
    bias.append(np.where(np.arange(queries) == 0, -np.inf, numbers(keys, queries)).astype(np.float32))
    for b in bias:
        scores = numbers(2, 3, keys, queries, scale=5)
        got, expected = form.softmax(scores.copy(), b), attention.softmax_over_keys(scores.copy(), b)
        assert_same([got], [expected])
        dscores, average = numbers(2, 3, keys, queries, seed=1), numbers(2, 3, queries, seed=2)
        mine, theirs = dscores.copy(), dscores.copy()
        form.softmax_backward(mine, got, average)
        attention.softmax_over_keys_backward(theirs, got, average)
        assert_same([mine], [theirs])


@pytest.mark.parametrize("ids", [[[0, 4, 4], [1, 2, 0]], [3], np.zeros((0, 2), np.int64), np.array([[1, 2]], np.uint8)])
def test_embedding(level, ids, dtype):
    check_form(level, lambda: EmbeddingFunction(2), np.asarray(ids), numbers(5, 3, dtype=dtype))


@pytest.mark.parametrize("ids", [[-1], [5], [0, -2 ** 63], [2 ** 62]])
def test_embedding_of_ids_that_are_none(level, ids):
    with pytest.raises(IndexError, match="at position"):
        made(level, EmbeddingFunction).forward(np.array(ids), numbers(5, 3))


# ---- tables and rotation

@pytest.mark.parametrize("size, count, width", [(7, 3, 4), (1, 1, 1), (0, 2, 3), (200, 5, 2), (50, 40, 3)])
@pytest.mark.parametrize("index", [np.int64, np.int32, np.uint8])
def test_scatter_add(level, size, count, width, index, dtype):
    indices = np.random.default_rng(0).integers(0, count, size).astype(index)
    rows = numbers(size, 2 * width, dtype=dtype)[:, ::2]
    with fast.use("plain"):
        expected = scatter_add_rows(rows, indices, count)
    with fast.use(level):
        assert_same([scatter_add_rows(rows, indices, count)], [expected])


def test_rotate(level, dtype):
    x, cos, sin = numbers(2, 5, 3, 8, dtype=dtype).swapaxes(1, 2), *numbers(2, 5, 8, seed=1, dtype=dtype)
    with fast.use("plain"):
        expected = rotate(x, cos, sin)
    with fast.use(level):
        assert_same([rotate(x, cos, sin)], [expected])


# ---- optimizers

SIZES = [(3, 4), (), (7,), (40_000,), (2, 0), (5, 5)]


def adam_lists(level, layout, dtype):
    params = [numbers(*shape, seed=i, dtype=dtype) for i, shape in enumerate(SIZES)]
    params = [np.asarray(layout(p)) for p in params]
    with fast.use(level):
        zeros = [np.zeros_like(p) for p in params]
        return params, new_moments(zeros), new_moments(zeros)


@pytest.mark.parametrize("decoupled", [True, False])
@pytest.mark.parametrize("weight_decay", [0, 0.1])
@pytest.mark.parametrize("layout", [lambda p: p, lambda p: p.T], ids=["as it is", "transposed"])
def test_adam(level, decoupled, weight_decay, layout, dtype):
    found = []
    for which in ("plain", level):
        params, m, v = adam_lists(which, layout, dtype)
        for step in range(1, 70):
            grads = [numbers(*p.shape, seed=step, dtype=dtype) for p in params]
            with fast.use(which):
                adam_update(params, grads, m, v, [step] * len(params), lr=0.01, betas=(0.9, 0.99), eps=1e-8,
                            weight_decay=weight_decay, decoupled=decoupled)
        found.append([*params, *m, *v])
    assert_same(found[1], found[0])
    assert not np.allclose(found[0][0], layout(numbers(3, 4, dtype=dtype)))


def test_no_parameters_array_moves(level):
    params, m, v = adam_lists(level, lambda p: p, np.float32)
    before, views = [id(p) for p in params], [p.reshape(-1)[:1] for p in params]
    with fast.use(level):
        adam_update(params, [np.ones_like(p) for p in params], m, v, [1] * len(params), lr=0.1, betas=(0.9, 0.99),
                    eps=1e-8, weight_decay=0.0, decoupled=True)
    assert [id(p) for p in params] == before
    assert all(np.array_equal(view, p.reshape(-1)[:1]) for view, p in zip(views, params))


def test_parameters_in_another_order_keep_their_own_moments(level):
    "the moments are parts of one vector, in the order of the first step"
    found = []
    for which in ("plain", level):
        params = [numbers(4, seed=i) for i in range(3)]
        with fast.use(which):
            m, v = (new_moments([np.zeros_like(p) for p in params]) for _ in range(2))
            for step, order in enumerate([[0, 1, 2], [2, 0, 1], [1, 2]], 1):
                grads = [numbers(4, seed=9 + i) for i in range(3)]
                lists = [[arrays[i] for i in order] for arrays in (params, grads, m, v)]
                adam_update(*lists, [step] * len(order), lr=0.1, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.0,
                            decoupled=True)
        found.append([*params, *m, *v])
    assert_same(found[1], found[0])


def test_denormal_moments_are_flushed(level):
    params, m, v = [np.ones(5, np.float32)], [np.full(5, 1e-40, np.float32)], [np.full(5, 1e-40, np.float32)]
    with fast.use(level):
        adam_update(params, [np.zeros(5, np.float32)], m, v, [optimizers.FLUSH_EVERY], lr=0.1, betas=(0.9, 0.99),
                    eps=1e-8, weight_decay=0.0, decoupled=True)
    assert not m[0].any() and not v[0].any()


# ---- images

CONVOLUTIONS = {
    "as it is": dict(stride=(1, 1), padding=[(0, 0), (0, 0)], dilation=(1, 1)),
    "all knobs": dict(stride=(2, 1), padding=[(1, 1), (0, 2)], dilation=(1, 2)),
    "groups": dict(stride=(1, 2), padding=[(0, 1), (2, 0)], dilation=(2, 1), groups=2),
}


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
@pytest.mark.parametrize("lay", [lambda x: x, lambda x: x[:, :, ::-1], lambda x: x.swapaxes(2, 3)])
def test_convolution(level, options, lay, dtype):
    x = lay(numbers(2, 4, 7, 7, dtype=dtype))
    weight = numbers(6, 4 // options.get("groups", 1), 3, 2, seed=1, dtype=dtype)
    check_form(level, lambda: ConvFunction(**options), x, weight, numbers(6, seed=2, dtype=dtype))
    check_form(level, lambda: ConvFunction(**options), x[:0], weight, None)


@pytest.mark.parametrize("block", [1, 300])
def test_blocks_of_window_rows_make_no_difference(block):
    form = made("numpy", lambda: ConvFunction(**CONVOLUTIONS["all knobs"]))
    plain = made("plain", lambda: ConvFunction(**CONVOLUTIONS["all knobs"]))
    form.block = block
    x, weight = numbers(5, 2, 6, 6, dtype=float), numbers(3, 2, 3, 3, seed=1, dtype=float)
    out = plain.forward(x, weight)
    assert_same([form.forward(x, weight)], [out])
    assert_same(form.backward(np.ones_like(out)), plain.backward(np.ones_like(out)))


@pytest.mark.parametrize("options", [
    dict(kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1)),
    dict(kernel=(3, 2), stride=(1, 2), padding=(1, 1), dilation=(1, 1)),
    dict(kernel=(2, 2), stride=(2, 2), padding=(0, 0), dilation=(1, 1), ceil_mode=True),
    dict(kernel=(2, 3), stride=(1, 1), padding=(0, 1), dilation=(2, 1))])
@pytest.mark.parametrize("make", [MaxPoolFunction, AvgPoolFunction])
def test_pooling(level, make, options, dtype):
    if make is AvgPoolFunction and options["dilation"] != (1, 1):
        options = options | {"dilation": (1, 1)}
    x = np.round(numbers(2, 3, 5, 7, dtype=dtype))  # with ties
    check_form(level, lambda: make(**options), x)
    check_form(level, lambda: make(**options), x.swapaxes(2, 3))


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 2, 5), (40, 3, 40, 40)])
@pytest.mark.parametrize("given", [(), (True,), (True, True), (False, True)])
def test_batch_norm(level, shape, given, dtype):
    vectors = numbers(2, 3, seed=1, dtype=dtype)
    arguments = [v if g else None for v, g in zip(vectors, given)]
    x = numbers(*shape, dtype=dtype) + dtype(10)
    check_form(level, BatchNormFunction, x, *arguments)
    plain, form = made("plain", BatchNormFunction), made(level, BatchNormFunction)
    plain.forward(x), form.forward(x)
    for name in ("mean", "variance"):
        assert np.allclose(getattr(form, name).reshape(-1), getattr(plain, name).reshape(-1), rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 256), (2, 256), (3, 256), (1, 4, 256), (2, 2, 256), (5, 256)])
@pytest.mark.parametrize("bias", [True, False])
def test_few_rows_and_a_large_weight(shape, bias):
    "what a model reads behind its cache, with nobody asking for a gradient"
    pytest.importorskip("numba", reason="the compiled forms need the extra: pip install -e '.[fast]'")
    x, weight, b = numbers(*shape), numbers(300, 256), numbers(300) if bias else None
    with no_grad():
        with fast.use("compiled"):
            got = linear(Tensor(x), weight, b).data
    np.testing.assert_allclose(got, x @ weight.T + (b if bias else 0), rtol=1e-4, atol=1e-4)
    assert got.shape == (*shape[:-1], 300) and got.dtype == np.float32


def test_few_rows_that_do_not_fit_are_named():
    pytest.importorskip("numba", reason="the compiled forms need the extra: pip install -e '.[fast]'")
    with no_grad(), fast.use("compiled"), pytest.raises(ValueError):
        linear(Tensor(numbers(2, 256)), numbers(300, 255))


def test_a_graph_that_is_dropped_is_freed_at_once(level):
    "Without a backward pass, and before the garbage collector comes: attention's blocks hold nothing that holds them."
    x = Tensor(np.zeros((2, 5, 12), np.float32), requires_grad=True)
    with fast.use(level):
        out = self_attention(x, 2, is_causal=True)
    operation = weakref.ref(out.grad_fn)
    gc.disable()
    try:
        del out
        assert operation() is None
    finally:
        gc.enable()
