"""The rows of what no chapter teaches: `tinytorch/vocabulary/` and nn's further functions."""
import numpy as np
from operations.table import (
    DIMS,
    PAIRS,
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
    reduction,
    together,
    untied,
    values,
)

beyond = values(1.2, 1.7, 2.5, 3.1)  # 1, where acosh begins
counts = values(0, 2, 1, 3)
ANY, SOME = each((3, 4), (), (0, 3)), PAIRS[1:5] + PAIRS[6:7]


def method(name, *domains, shapes, **more):
    "a row that calls the method of that name"
    return Row(name, lambda t, x, *rest, **options: getattr(x, name)(*rest, **options), domains, shapes, **more)


def function(name, *domains, shapes, **more):
    "a row that calls the function of that name"
    return Row(name, lambda t, *inputs, **options: getattr(t, name)(*inputs, **options), domains, shapes, **more)


def pairs(name, left=real, right=real, shapes=SOME, **more):
    return method(name, left, right, shapes=shapes, **more)


def of_each(names, domain, shapes=ANY, **more):
    return [method(name, domain, shapes=shapes, **more) for name in names.split()]


ALONE = [
    *of_each("tan atan arctan sinh cosh asinh arcsinh exp2 erf", real),
    *of_each("asin acos arcsin arccos atanh arctanh", inner), *of_each("acosh arccosh", beyond),
    *of_each("log2 log10", positive),
    *of_each("floor ceil round trunc fix frac", real),
    *of_each("absolute negative positive nan_to_num contiguous cpu", nonzero),
    *of_each("isnan isinf isfinite logical_not count_nonzero nonzero argwhere int short", real),
    *of_each("half", fixed(real)),
    *of_each("byte", positive),
    *of_each("bitwise_not", boolean), method("nonzero", boolean, shapes=each((3, 4), ()), options=[{"as_tuple": True}]),
    elementwise("round", lambda t, x: x.round(decimals=2), options=[{}], slope=False),
    elementwise("clip", lambda t, x, **o: x.clip(**o), untied, options=[{"min": -0.5, "max": 0.3}, {"max": 0.2}]),
    elementwise("clamp_min", lambda t, x: x.clamp_min(0.1), untied),
    elementwise("clamp_max", lambda t, x: x.clamp_max(0.1), untied),
    elementwise("type", lambda t, x: x.type(t.float64), out_dtype=np.float64),
    elementwise("nan_to_num", lambda t, x: (x * np.inf).nan_to_num(posinf=3.0, neginf=-2.0), nonzero, slope=False),
]
TWO = [
    *[pairs(name) for name in "subtract multiply hypot logaddexp atan2 arctan2 eq ne lt le gt ge less less_equal "
      "greater greater_equal not_equal logical_and logical_or logical_xor isclose".split()],
    *[pairs(name, right=nonzero) for name in "divide true_divide remainder fmod".split()],
    pairs("floor_divide", fixed(real), fixed(nonzero)),
    pairs("divide", fixed(real), fixed(nonzero), options=together(rounding_mode=["floor", "trunc"])),
    Row("remainder", lambda t, x, y: x % y, (real, nonzero), SOME),
    elementwise("remainder", lambda t, x: 2.5 % x, nonzero, parity=False),
    elementwise("floor_divide", lambda t, x: 2.5 // x, fixed(nonzero)),
    elementwise("floor_divide", lambda t, x: x // 0.3, fixed(real)),
    *[pairs(name, boolean, boolean) for name in "bitwise_and bitwise_or bitwise_xor".split()],
    pairs("bitwise_xor", below(8), below(8)),
    Row("shift", lambda t, x, y: (x << y) + (x >> y) + (x ^ y), (below(8), below(4)), SOME),
    pairs("subtract", options=[{"alpha": 2.5}]),
    pairs("type_as", right=fixed(real), shapes=[((2, 3), (4,))]),
    pairs("dist", shapes=[((2, 3), (2, 3)), ((2, 3), (3,))]),
    *[pairs(name, right=fixed(real), shapes=[((6,), (2, 3))]) for name in ("view_as", "reshape_as")],
    pairs("expand_as", right=fixed(real), shapes=[((3, 1), (3, 4)), ((), (2, 2))]),
    method("lerp", real, real, real, shapes=[((3, 4), (3, 4), (3, 4)), ((3, 4), (4,), ())]),
    method("addcmul", real, real, real, shapes=[((3, 4), (3, 4), (3, 4)), ((), (4,), (3, 1))],
           options=[{}, {"value": 2}]),
    method("addcdiv", real, real, nonzero, shapes=[((3, 4), (3, 4), (3, 4)), ((), (4,), (3, 1))]),
]
REDUCED = [
    *reduction("norm", nonzero, DIMS[:6], voids=[]),
    method("norm", nonzero, shapes=each((3, 4)),
           options=together(p=[1, 3, 0.5, -2, 0, np.inf, -np.inf, "fro"], dim=[1, (0, 1)])),
    *[row for name in ("any", "all") for row in reduction(name, boolean)],
    method("count_nonzero", boolean, shapes=SOLIDS, options=[{"dim": 0}, {"dim": (0, 2)}]),
    method("cumprod", nonzero, shapes=SOLIDS, options=together(dim=[0, 1, -1])),
    method("cumprod", nonzero, shapes=each((), (0, 3)), options=[{"dim": 0}]),
    method("diff", real, shapes=each((4, 5)), options=[{}, {"dim": 0}, {"n": 2}]),
    Row("diff", lambda t, x, y: x.diff(prepend=y, append=y), (real, real), [((2, 3), (2, 1))]),
    method("trace", real, shapes=each((3, 3), (2, 4), (0, 0))),
    method("median", untied, shapes=each((5, 4)), options=[{}, {"dim": 0}, {"dim": 1, "keepdim": True}]),
    method("median", untied, shapes=each(())),
    method("aminmax", untied, shapes=each((3, 4)), options=[{"dim": 0}, {"dim": 1, "keepdim": True}, {}]),
    method("argsort", untied, shapes=SOLIDS, options=[{}, {"dim": 0}, {"descending": True}, {"stable": True}]),
    method("sort", untied, shapes=SOLIDS, options=[{}, {"dim": 0}, {"descending": True}]),
    method("sort", untied, shapes=each((), (0,))),
    method("topk", untied, shapes=each((4, 5)), options=[{"k": 2}, {"k": 3, "dim": 0, "largest": False}, {"k": 0}]),
    method("unique", below(4), shapes=each((7,), (2, 5), (0,)),
           options=[{}, {"return_inverse": True}, {"return_counts": True}]),
    method("unique", below(2), shapes=each((7, 2)), options=[{"dim": 0, "return_counts": True}]),
    method("bincount", below(4), shapes=each((7,), (0,)), options=[{}, {"minlength": 6}]),
    method("bincount", below(4), fixed(positive), shapes=[((7,), (7,))]),
    Row("multinomial", lambda t, p: p.multinomial(2), (positive,), each((4,), (3, 5)), parity=False),
]
MATRICES = [
    method("dot", real, real, shapes=[((3,), (3,)), ((0,), (0,))]),
    method("inner", real, real, shapes=[((3,), (3,)), ((2, 3), (4, 3)), ((2, 3), (3,)), ((), (2, 3)), ((2, 3), ())]),
    method("mv", real, real, shapes=[((2, 3), (3,))]),
    method("addmm", real, real, real, shapes=[((2, 4), (2, 3), (3, 4)), ((4,), (2, 3), (3, 4))],
           options=[{}, {"beta": 0.5, "alpha": 2}]),
    method("addmv", real, real, real, shapes=[((2,), (2, 3), (3,))], options=[{}, {"beta": 0.5, "alpha": 2}]),
    method("baddbmm", real, real, real, shapes=[((5, 2, 4), (5, 2, 3), (5, 3, 4))], options=[{}, {"beta": 0.5}]),
    function("cdist", real, real, shapes=[((3, 2), (4, 2)), ((2, 3, 2), (2, 4, 2))], options=[{}, {"p": 1.0}]),
    Row("einsum", lambda t, x, y: t.einsum("ij,jk->ik", [x, y]), (real, real), [((2, 3), (3, 4))]),
]
MOVED = [
    method("t", real, shapes=each((2, 3), (3,), ())), method("ravel", real, shapes=each((2, 3), ())),
    method("swapaxes", real, shapes=each((2, 3, 4)), options=[{"axis0": 0, "axis1": -1}]),
    method("swapdims", real, shapes=each((2, 3, 4)), options=[{"dim0": 0, "dim1": -1}]),
    *[method(name, real, shapes=each((2, 3, 4)), options=[{"source": 0, "destination": 2},
                                                          {"source": (0, -1), "destination": (1, 0)}])
      for name in ("movedim", "moveaxis")],
    method("unflatten", real, shapes=each((2, 6)), options=[{"dim": 1, "sizes": (2, 3)},
                                                            {"dim": -1, "sizes": (-1, 2)}]),
    method("narrow", real, shapes=each((4, 3)), options=[{"dim": 0, "start": 1, "length": 2},
                                                         {"dim": 1, "start": -1, "length": 1}]),
    method("select", real, shapes=each((4, 3)), options=[{"dim": 0, "index": 2}, {"dim": 1, "index": -1}]),
    method("unbind", real, shapes=each((4, 3)), options=[{}, {"dim": 1}]),
    method("unfold", real, shapes=each((7, 3)), options=[{"dimension": 0, "size": 3, "step": 2},
                                                         {"dimension": 1, "size": 2, "step": 1}]),
    method("fliplr", real, shapes=each((2, 3))), method("flipud", real, shapes=each((2, 3))),
    Row("tile", lambda t, x: x.tile((2, 2)), (real,), each((3,), (2, 1, 2))),
    Row("tile", lambda t, x: x.tile(2), (real,), each((3,), (2, 3))),
    method("repeat_interleave", real, shapes=each((4, 3)), options=[{"repeats": 2}, {"repeats": 3, "dim": 1}]),
    method("repeat_interleave", real, counts, shapes=[((4, 3), (4,))], options=[{"dim": 0}]),
    method("diagonal", real, shapes=each((3, 4)), options=[{}, {"offset": 1}, {"offset": -2}]),
    method("diagonal", real, shapes=each((2, 3, 4)), options=[{"dim1": 1, "dim2": 2}, {"dim1": -1, "dim2": 0}]),
    method("diag", real, shapes=each((3, 4), (3,)), options=[{}, {"diagonal": 1}, {"diagonal": -1}]),
    function("broadcast_tensors", real, real, shapes=[((3, 1), (4,))]),
    *[Row(name, lambda t, *x, name=name: getattr(t, name)(x), (real, real), [((2, 3), (2, 3)), ((3,), (3,)), ((), ())])
      for name in ("hstack", "vstack")],
    Row("cat", lambda t, x, y: t.cat([x, y, x]), (fixed(real), real), [((0,), (2, 3))]),
    Row("cat", lambda t, x, y: t.cat([x, y]), (real, fixed(real)), [((2, 3), (0,))]),
    Row("meshgrid", lambda t, x, y, **o: t.meshgrid(x, y, **o), (real, real), [((2,), (3,)), ((), (3,))],
        together(indexing=["ij", "xy"])),
    function("cartesian_prod", real, real, shapes=[((2,), (3,))]),
]
PICKED = [
    method("masked_select", real, boolean, shapes=[((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (4,))]),
    method("take_along_dim", real, below(3), shapes=[((3, 4), (2, 4)), ((3, 1), (1, 4))], options=[{"dim": 0}]),
    Row("take_along_dim", lambda t, x, i: t.take_along_dim(x, i), (real, below(6)), [((2, 3), (4,))]),
    Row("scatter", lambda t, x, i, y: x.scatter(0, i, y), (real, values(2, 0, 1, 1, 2, 0), real),
        [((4, 3), (2, 3), (2, 3))]),
    Row("scatter", lambda t, x, i, y: x.scatter(0, i, y), (real, values(2, 0, 1, 1, 2, 0), fixed(real)),
        [((4, 3), (2, 3), (4, 3))]),
    Row("scatter", lambda t, x, i: x.scatter(1, i, 2.5), (real, below(3)), [((4, 3), (2, 2))]),
    Row("scatter_add", lambda t, x, i, y: x.scatter_add(0, i, y), (real, below(3), real),
        [((3, 4), (5, 4), (5, 4)), ((3, 4), (2, 3), (2, 3))]),
    Row("index_add", lambda t, x, i, y: x.index_add(0, i, y, alpha=2), (real, below(3), real),
        [((3, 4), (5,), (5, 4))]),
    Row("index_copy", lambda t, x, i, y: x.index_copy(1, i, y), (real, values(3, 0), real), [((3, 4), (2,), (3, 2))]),
    Row("index_fill", lambda t, x, i: x.index_fill(1, i, 2.5), (real, below(4)), [((3, 4), (2,)), ((3, 4), (0,))]),
    Row("nonzero", lambda t, c: t.where(c), (boolean,), each((3, 4), (5,))),
    function("searchsorted", values(0.1, 0.7, 1.5), real, shapes=[((3,), (2, 4))], options=[{}, {"right": True}]),
    Row("bucketize", lambda t, x, b: t.bucketize(x, b), (real, values(0.1, 0.7, 1.5)), [((2, 4), (3,))]),
    *[Row(name, lambda t, x, name=name: getattr(x, name)(2, 3), (real,), each((2,)))
      for name in ("new_zeros", "new_ones")],
    Row("new_empty", lambda t, x: (x.new_empty((2, 3)) * 0).nan_to_num(), (real,), each((2,))),
    Row("new_full", lambda t, x: x.new_full((2, 3), 1.5), (real,), each((2,))),
    Row("new_tensor", lambda t, x: x.new_tensor([1, 2]), (real,), each((2,))),
]

STATISTICS = [
    Row(name, lambda t, x, name=name, **o: getattr(t, name)(x, **o), (real,), each((3, 4)),
        [{"dim": 0}, {"dim": 1, "correction": 0, "keepdim": True}]) for name in ("var_mean", "std_mean")]
OF_NN = [
    *[elementwise(name, lambda t, x, name=name: getattr(t, name)(x), nonzero) for name in
      "elu selu celu relu6 hardtanh mish softsign tanhshrink".split()],
    elementwise("elu", lambda t, x: t.elu(x, alpha=0.7), nonzero),
    elementwise("celu", lambda t, x: t.celu(x, 0.5), nonzero),
    elementwise("hardsigmoid", lambda t, x: t.hardsigmoid(x), nonzero, parity=False),  # theirs is float32 in float64
    function("softmin", real, shapes=each((3, 4)), options=[{"dim": 1}]),
    function("glu", real, shapes=each((2, 4), (6,)), options=[{}, {"dim": 0}]),
    function("one_hot", below(3), shapes=each((4,), (2, 3), ()), options=[{"num_classes": 5}, {}]),
    Row("group_norm", lambda t, x, w, b, groups: t.group_norm(x, groups, w, b), (real, real, real),
        [((2, 4), (4,), (4,)), ((2, 4, 3), (4,), (4,)), ((3, 4, 2, 3), (4,), (4,))], together(groups=[1, 2])),
    Row("group_norm", lambda t, x: t.group_norm(x, 3, eps=1e-2), (real,), each((2, 6, 2))),
    function("adaptive_avg_pool1d", real, shapes=each((2, 3, 7)), options=together(output_size=[1, 3, 7, 9])),
    function("adaptive_avg_pool2d", real, shapes=each((2, 3, 7, 5)),
             options=together(output_size=[1, 3, (4, 2), (None, 3)])),
    *[function(name, real, real, shapes=[((3, 4), (3, 4))], options=[
        {}, {"reduction": "sum"}, {"reduction": "none"}, {option: 0.4}]) for name, option in
        (("smooth_l1_loss", "beta"), ("huber_loss", "delta"))],
    Row("kl_div", lambda t, x, y, **o: t.kl_div(x.log(), y, **o), (probabilities, probabilities), [((3, 4), (3, 4))],
        together(reduction=["sum", "mean", "none", "batchmean"])),
    Row("kl_div", lambda t, x, y: t.kl_div(x, y, log_target=True, reduction="sum"), (real, real), [((3, 4), (3, 4))]),
    function("cosine_similarity", real, real, shapes=[((3, 4), (3, 4)), ((3, 4), (1, 4))], options=[{}, {"dim": 0}]),
    function("pairwise_distance", real, real, shapes=[((3, 4), (3, 4))], options=[{}, {"p": 1.0, "keepdim": True}]),
]
VOCABULARY = [*ALONE, *TWO, *REDUCED, *MATRICES, *MOVED, *PICKED, *STATISTICS, *OF_NN]
