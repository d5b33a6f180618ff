"""The rows of nn.functional and of the fused operations behind nn's modules."""
import numpy as np
from operations.table import (
    ANY,
    LARGE,
    SOLIDS,
    Row,
    below,
    boolean,
    each,
    elementwise,
    fixed,
    inner,
    nonzero,
    positive,
    probabilities,
    real,
    together,
    untied,
    values,
)

from tinytorch.nn.attention import self_attention
from tinytorch.nn.embedding import Rotary


def norm_cases(shape):
    "inputs of `shape`: normalized over the last dim, and over the last two, with weight and bias of that shape"
    return [(shape, shape[-1:], shape[-1:]), (shape, shape[-2:], shape[-2:])]


def layer_norm(t, x, weight, bias, **options):
    return t.layer_norm(x, tuple(weight.shape), weight, bias, **options)


def rms_norm(t, x, weight, **options):
    return t.rms_norm(x, tuple(weight.shape), weight, **options)


NORMS = [shapes for shape in [(3, 4), (2, 3, 5), (0, 3, 4), (2, 1, 1)] for shapes in norm_cases(shape)]

ACTIVATIONS = [
    elementwise("relu", lambda t, x: t.relu(x), nonzero),
    elementwise("leaky_relu", lambda t, x, **o: t.leaky_relu(x, **o), nonzero, options=[{}, {"negative_slope": 0.3}]),
    elementwise("gelu", lambda t, x, **o: t.gelu(x, **o),
                options=[{}, {"approximate": "none"}, {"approximate": "tanh"}]),
    elementwise("silu", lambda t, x: t.silu(x)),
    elementwise("softplus", lambda t, x, **o: t.softplus(x, **o),
                options=[{}, {"beta": 3.0}, {"beta": 2, "threshold": 1}]),
    elementwise("logsigmoid", lambda t, x: t.logsigmoid(x)),
    elementwise("sigmoid", lambda t, x: t.sigmoid(x)),
    elementwise("tanh", lambda t, x: t.tanh(x)),
    Row("softmax", lambda t, x, dim: t.softmax(x, dim=dim), (real,), SOLIDS, together(dim=[0, -1]), large=LARGE),
    Row("log_softmax", lambda t, x, dim: t.log_softmax(x, dim=dim), (real,), SOLIDS, together(dim=[0, -1]),
        large=LARGE),
    Row("dropout", lambda t, x, **o: t.dropout(x, **o), (real,), ANY,
        [{"p": 0.0}, {"p": 0.4, "training": False}, {"p": 1.0}]),
    Row("dropout", lambda t, x, **o: t.dropout(x, **o), (real,), each((7, 9), (), (0, 3)), [{}, {"p": 0.3}],
        parity=False),
]

LAYERS = [
    Row("linear", lambda t, x, weight, bias: t.linear(x, weight, bias), (real,) * 3,
        [((2, 3), (4, 3), (4,)), ((3,), (4, 3), (4,)), ((2, 5, 3), (1, 3), (1,)), ((2, 2, 2, 3), (4, 3), (4,)),
         ((0, 3), (4, 3), (4,)), ((2, 0, 3), (4, 3), (4,)), ((2, 0), (4, 0), (4,)), ((2, 3), (0, 3), (0,))],
        large=((9, 40, 65), (130, 65), (130,))),
    Row("linear", lambda t, x, weight: t.linear(x, weight), (real,) * 2,
        [((2, 3), (4, 3)), ((3,), (4, 3)), ((2, 5, 3), (4, 3))]),
    Row("linear", lambda t, x, weight: t.linear(x, weight, None), (fixed(real), real),
        [((2, 3), (4, 3)), ((0, 3), (4, 3))]),
    Row("embedding", lambda t, i, weight, **o: t.embedding(i, weight, **o), (below(4), real),
        [((3,), (4, 5)), ((2, 6), (4, 3)), ((), (5, 2)), ((0,), (4, 3)), ((2, 0), (4, 3)), ((2, 2, 2), (4, 1))],
        large=((64, 128), (4, 33))),
    Row("embedding", lambda t, i, weight, **o: t.embedding(i, weight, **o), (below(4), real),
        [((3,), (4, 5)), ((2, 6), (4, 3))],
        [{"padding_idx": 0}, {"padding_idx": -1}], slope=False),  # padding gets no gradient
    Row("layer_norm", layer_norm, (real,) * 3, NORMS, [{}, {"eps": 0.1}], large=((1100, 130), (130,), (130,))),
    Row("layer_norm", lambda t, x, w: t.layer_norm(x, w.shape, w), (real,) * 2,
        [((3, 4), (4,)), ((2, 3, 4), (3, 4)), ((4,), (4,))]),
    Row("layer_norm", lambda t, x: t.layer_norm(x, (4,)), (real,), each((3, 4), (4,), (2, 0, 4))),
    Row("rms_norm", rms_norm, (real,) * 2, [shapes[:2] for shapes in NORMS], [{}, {"eps": 0.1}],
        large=((1100, 130), (130,))),
    Row("rms_norm", lambda t, x: t.rms_norm(x, (4,)), (real,), each((3, 4), (4,), (2, 0, 4))),
    Row("normalize", lambda t, x, **o: t.normalize(x, **o), (nonzero,), each((3, 4), (2, 3, 5), (0, 3)),
        [{}, {"dim": 0}, {"dim": -1, "p": 1.0}, {"p": 3.0}, {"eps": 5.0}], large=LARGE),
    Row("normalize", lambda t, x: t.normalize(x, p=np.inf), (real,), each((3, 4))),
]

REDUCTION = together(reduction=["mean", "sum", "none"])
SAME = [((3, 4), (3, 4)), ((5,), (5,)), ((2, 3, 2), (2, 3, 2)), ((), ())]
INDEX = [((5, 3), (5,)), ((3,), ()), ((2, 3, 4), (2, 4)), ((2, 3, 2, 2), (2, 2, 2)), ((1, 3), (1,))]
SHARES = [((5, 3), (5, 3)), ((2, 3, 4), (2, 3, 4))]


def cross_entropy(t, x, target, weight=None, **options):
    return t.cross_entropy(x, target, weight=weight, **options)


def nll_loss(t, x, target, weight=None, **options):
    return t.nll_loss(t.log_softmax(x, dim=1 if x.ndim > 1 else 0), target, weight=weight, **options)


def bce(t, x, target, **options):
    return t.binary_cross_entropy(x, target, **options)


def bce_with_logits(t, x, target, **options):
    return t.binary_cross_entropy_with_logits(x, target, **options)


LOSSES = [
    Row("mse_loss", lambda t, x, y, **o: t.mse_loss(x, y, **o), (real, real), SAME, REDUCTION, large=(LARGE * 2)),
    Row("mse_loss", lambda t, x, y: t.mse_loss(x, y), (real, fixed(real)), SAME),
    Row("mse_loss", lambda t, x, y: t.mse_loss(x, y, reduction="sum"), (real, real), [((0, 3), (0, 3))]),
    Row("l1_loss", lambda t, x, y, **o: t.l1_loss(x, y, **o), (real, real), SAME, REDUCTION, large=(LARGE * 2)),
    Row("binary_cross_entropy", bce, (inner, fixed(inner)), SAME, REDUCTION, large=(LARGE * 2)),
    Row("binary_cross_entropy", lambda t, x, y, w, **o: bce(t, x, y, weight=w, **o),
        (inner, fixed(inner), fixed(positive)), [((3, 4), (3, 4), (3, 4)), ((3, 4), (3, 4), (4,))], REDUCTION),
    Row("binary_cross_entropy_with_logits", bce_with_logits, (real, inner), SAME, REDUCTION, large=(LARGE * 2)),
    Row("binary_cross_entropy_with_logits",
        lambda t, x, y, w, p, **o: bce_with_logits(t, x, y, weight=w, pos_weight=p, **o),
        (real, fixed(inner), fixed(positive), fixed(positive)),
        [((3, 4), (3, 4), (3, 4), (4,)), ((3, 4), (3, 4), (4,), (4,))], REDUCTION),
    Row("cross_entropy", cross_entropy, (real, below(3)), INDEX,
        [*REDUCTION, {"ignore_index": 1}, {"label_smoothing": 0.2},
         {"label_smoothing": 0.2, "ignore_index": 1, "reduction": "none"}], large=((1100, 130), (1100,))),
    Row("cross_entropy", cross_entropy, (real, below(3), fixed(positive)), [(*shapes, (3,)) for shapes in INDEX],
        [*REDUCTION, {"ignore_index": 1}, {"label_smoothing": 0.2},
         {"label_smoothing": 0.3, "ignore_index": 1, "reduction": "sum"}]),
    Row("cross_entropy", cross_entropy, (real, values(2, -100, 0)), [((6, 3), (6,)), ((2, 3, 4), (2, 4))], REDUCTION),
    Row("cross_entropy", cross_entropy, (real, probabilities), SHARES, [*REDUCTION, {"label_smoothing": 0.2}]),
    Row("cross_entropy", cross_entropy, (real, fixed(probabilities), fixed(positive)),
        [(*shapes, (3,)) for shapes in SHARES], [*REDUCTION, {"label_smoothing": 0.2}]),
    Row("cross_entropy", cross_entropy, (real, below(3)), [((0, 3), (0,))], together(reduction=["sum", "none"])),
    Row("nll_loss", nll_loss, (real, below(3)), INDEX, [*REDUCTION, {"ignore_index": 1}], large=((1100, 130), (1100,))),
    Row("nll_loss", nll_loss, (real, below(3), fixed(positive)), [(*shapes, (3,)) for shapes in INDEX],
        [*REDUCTION, {"ignore_index": 1}]),
]

# query, key, value: (..., T_query, d), (..., T_key, d), (..., T_key, e)
QKV = [((2, 3, 4, 5), (2, 3, 6, 5), (2, 3, 6, 2)), ((3, 5, 2), (3, 5, 2), (3, 5, 2)), ((4, 5), (6, 5), (6, 3)),
       ((2, 1, 5), (2, 1, 5), (2, 1, 5))]
GROUPS = [((2, 6, 4, 5), (2, 2, 6, 5), (2, 2, 6, 3)), ((1, 4, 3, 2), (1, 1, 3, 2), (1, 1, 3, 2)),
          ((2, 3, 4, 2), (2, 3, 4, 2), (2, 3, 4, 2))]  # heads of queries, and of keys and values
MASKS = [(*QKV[0], (4, 6)), (*QKV[0], (2, 1, 1, 6)), (*QKV[0], (2, 3, 4, 6)), (*QKV[2], (4, 6)), (*QKV[1], (5, 5))]


def attention(t, q, k, v, mask=None, **options):
    return t.scaled_dot_product_attention(q, k, v, attn_mask=mask, **options)


ATTENTION = [
    Row("scaled_dot_product_attention", attention, (real,) * 3, QKV, [{}, {"scale": 0.3}], large=((2, 4, 70, 33),) * 3),
    Row("scaled_dot_product_attention", attention, (real,) * 3, QKV[:3], [{"is_causal": True}],
        large=((2, 4, 70, 33),) * 3),
    Row("scaled_dot_product_attention", attention, (real,) * 3,
        [((2, 0, 5), (2, 4, 5), (2, 4, 3)), ((0, 3, 5), (0, 3, 5), (0, 3, 5))]),
    Row("scaled_dot_product_attention", attention, (real,) * 3 + (boolean,), MASKS),
    Row("scaled_dot_product_attention", attention, (real,) * 4, MASKS),
    Row("scaled_dot_product_attention", attention, (real,) * 3 + (fixed(real),), MASKS[:1], [{"scale": 2.0}]),
    Row("scaled_dot_product_attention", attention, (real,) * 3, QKV[:2], [{"dropout_p": 0.4}], parity=False),
    Row("scaled_dot_product_attention", attention, (real,) * 3, GROUPS,
        [{"enable_gqa": True}, {"enable_gqa": True, "is_causal": True}, {"enable_gqa": True, "scale": 0.3}],
        large=((2, 4, 70, 33), (2, 2, 70, 33), (2, 2, 70, 33))),
    Row("scaled_dot_product_attention", attention, (real,) * 3 + (boolean,), [(*GROUPS[0], (2, 6, 4, 6))],
        [{"enable_gqa": True}]),
]


def packed_attention(t, packed, *mask, num_heads=2, is_causal=False):
    "all heads of a self-attention, from query, key and value side by side: (..., T, 3D) -> (..., T, D)"
    return self_attention(packed, num_heads, *mask, is_causal=is_causal)


def heads_one_by_one(t, packed, *mask, num_heads=2, is_causal=False):
    found = []
    queries, keys, values = packed.chunk(3, -1)
    for q, k, v in zip(queries.chunk(num_heads, -1), keys.chunk(num_heads, -1), values.chunk(num_heads, -1)):
        found.append(t.scaled_dot_product_attention(q, k, v, *mask, is_causal=is_causal))
    return t.cat(found, -1)


def rotated(t, x, offset=0):
    return Rotary(x.shape[-1], 9)(x, offset)


def rotated_as_complex_numbers(t, x, offset=0):
    "pair (x[i], x[i + D/2]) is the complex number x[i] + x[i + D/2] j; place t turns it by t * 10000^(-2i/D)"
    half = x.shape[-1] // 2
    angles = t.outer(t.arange(x.shape[-2]) + offset, 10000.0 ** (-t.arange(half, dtype=t.float64) / half))
    turned = t.complex(x[..., :half], x[..., half:]) * t.polar(t.ones_like(angles), angles).to(
        t.complex64 if x.dtype == t.float32 else t.complex128)
    return t.cat([turned.real, turned.imag], -1)


FUSED = [
    elementwise("relu_squared", lambda t, x: t.relu_squared(x), nonzero, theirs=lambda t, x: t.relu(x) ** 2),
    Row("packed_attention", packed_attention, (real,), each((2, 3, 12), (5, 6), (2, 2, 3, 18)),
        together(num_heads=[1, 2], is_causal=[False, True]), theirs=heads_one_by_one),
    Row("packed_attention", packed_attention, (real, boolean), [((3, 12), (3, 3)), ((3, 6), (1, 3))],
        theirs=heads_one_by_one),
    Row("packed_attention", packed_attention, (real, real), [((3, 12), (3, 3))], theirs=heads_one_by_one),
    Row("rotary", rotated, (real,), each((3, 4), (2, 5, 6), (0, 2), (1, 2)), together(offset=[0, 4]),
        theirs=rotated_as_complex_numbers),
]


def conv1d(t, x, weight, bias=None, **options):
    return t.conv1d(x, weight, bias, **options)


def conv2d(t, x, weight, bias=None, **options):
    return t.conv2d(x, weight, bias, **options)


def pooled(t, x, name, **options):
    return getattr(t, name)(x, **options)


def batch_normed(t, x, weight=None, bias=None, **options):
    "by the batch itself"
    return t.batch_norm(x, None, None, weight, bias, training=True, **options)


def normed_by_running(t, x, mean, var, weight=None, bias=None, **options):
    return t.batch_norm(x, mean, var, weight, bias, **options)


POOLING = [{"kernel_size": 2}, {"kernel_size": (3, 2), "stride": 1, "padding": 1}, {"kernel_size": 2, "stride": 3},
           {"kernel_size": 3, "stride": 2, "padding": (1, 0), "ceil_mode": True}, {"kernel_size": 1},
           {"kernel_size": (5, 6)}]
POOLING_1D = [{"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
              {"kernel_size": 2, "stride": 4}]
IMAGES = each((2, 3, 5, 6), (0, 3, 5, 6), (1, 1, 7, 6))
CHANNELS = [(shape, (3,), (3,)) for shape in [(4, 3), (2, 3, 5), (2, 3, 2, 4), (1, 3, 2, 1)]]

CONVOLUTION = [
    Row("conv2d", conv2d, (real,) * 3,
        [((2, 3, 5, 6), (4, 3, 3, 2), (4,)), ((0, 2, 5, 6), (3, 2, 2, 2), (3,))],
        [{}, {"stride": 2}, {"stride": (3, 1), "padding": (1, 2)}, {"padding": 1, "dilation": (1, 2), "stride": 4}],
        large=((3, 5, 40, 30), (7, 5, 3, 5), (7,))),
    Row("conv2d", conv2d, (real,) * 3, [((2, 3, 5, 6), (4, 3, 3, 2), (4,)), ((2, 3, 4, 4), (2, 3, 4, 4), (2,))],
        [{"padding": "same"}, {"padding": "valid"}, {"padding": "same", "dilation": 2}]),
    Row("conv2d", conv2d, (real,) * 3, [((2, 3, 4, 5), (4, 3, 1, 1), (4,))],
        [{}, {"stride": (2, 3)}, {"padding": 1}]),
    Row("conv2d", conv2d, (real,) * 3, [((1, 2, 5, 6), (3, 2, 5, 6), (3,))], [{}, {"padding": 2, "stride": 3}]),
    Row("conv2d", conv2d, (real,) * 2, [((2, 4, 5, 6), (6, 2, 3, 2)), ((2, 4, 3, 2), (2, 2, 3, 2))],
        [{"groups": 2}, {"groups": 2, "stride": 2, "padding": 1, "dilation": (1, 2)}]),
    Row("conv2d", conv2d, (real,) * 3, [((2, 3, 5, 6), (3, 1, 3, 3), (3,)), ((2, 3, 5, 6), (6, 1, 2, 2), (6,))],
        [{"groups": 3, "padding": 1}]),  # each channel alone
    Row("conv2d", conv2d, (fixed(real), real, real), [((2, 3, 5, 6), (4, 3, 3, 2), (4,))]),
    Row("conv2d", conv2d, (real, fixed(real), fixed(real)), [((2, 3, 5, 6), (4, 3, 3, 2), (4,))]),
    Row("conv1d", conv1d, (real,) * 3, [((2, 3, 8), (4, 3, 3), (4,)), ((2, 3, 5), (1, 3, 5), (1,)),
                                        ((0, 3, 8), (4, 3, 1), (4,))],
        [{}, {"stride": 3, "padding": 1}, {"padding": "same"}], large=((9, 16, 300), (5, 16, 7), (5,))),
    Row("conv1d", conv1d, (real,) * 2, [((2, 4, 8), (4, 1, 3))], [{"groups": 4, "dilation": 2, "padding": "same"}]),
    Row("max_pool2d", pooled, (untied,), IMAGES, [{"name": "max_pool2d", **o} for o in POOLING],
        large=((3, 5, 60, 50),)),
    Row("max_pool2d", pooled, (untied,), IMAGES[:1], [{"name": "max_pool2d", "kernel_size": 2, "dilation": (1, 2)}]),
    Row("max_pool1d", pooled, (untied,), each((2, 3, 8), (2, 1, 9)), [{"name": "max_pool1d", **o} for o in POOLING_1D]),
    Row("avg_pool2d", pooled, (real,), IMAGES, [{"name": "avg_pool2d", **o} for o in POOLING],
        large=((3, 5, 60, 50),)),
    Row("avg_pool2d", pooled, (real,), IMAGES,
        [{"name": "avg_pool2d", "count_include_pad": False, **o} for o in POOLING]),
    Row("avg_pool1d", pooled, (real,), each((2, 3, 8), (2, 1, 9)),
        [{"name": "avg_pool1d", "count_include_pad": inside, **o} for o in POOLING_1D for inside in (True, False)]),
    Row("batch_norm", batch_normed, (real,) * 3, CHANNELS, [{}, {"eps": 0.1}], large=((20, 3, 60, 30), (3,), (3,))),
    Row("batch_norm", batch_normed, (real,) * 2, [shapes[:2] for shapes in CHANNELS]),
    Row("batch_norm", lambda t, x, b: batch_normed(t, x, None, b), (real,) * 2, [shapes[:2] for shapes in CHANNELS]),
    Row("batch_norm", batch_normed, (real,), [shapes[:1] for shapes in CHANNELS]),
    Row("batch_norm", normed_by_running, (real, fixed(real), fixed(positive), real, real),
        [(*shapes, (3,), (3,)) for shapes in CHANNELS] + [((0, 3, 2, 2), *[(3,)] * 4)], [{}, {"eps": 0.1}]),
    Row("batch_norm", normed_by_running, (real, fixed(real), fixed(positive)), CHANNELS),
]
