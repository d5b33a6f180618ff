"""The one table of operations: what exists, how it is called, and on which inputs every suite here tries it.

A row is plain data. Its `call(t, *inputs, **options)` is written once: `t` is tinytorch or PyTorch (names
of nn.functional, then of the package), because the vocabulary is the same; only where PyTorch spells an
operation otherwise does a row also have `theirs`. Each of `shapes` (one shape per input) with each of
`options` makes one case.
"""
import collections
import functools
import itertools
import zlib
from dataclasses import dataclass, field, replace

import numpy as np


@dataclass(frozen=True)
class Domain:
    "Where the numbers of an input come from: `draw(rng, shape)`. Floats have gradients unless `fixed`."
    draw: callable
    fixed: bool = False


def fixed(domain):
    "the same numbers, of which nobody asks the gradient: a weight of a class, a mask, a target"
    return Domain(domain.draw, fixed=True)


def below(n):
    "integers from 0 to n - 1"
    return Domain(lambda rng, shape: rng.integers(0, n, shape))


def values(*numbers):
    "exactly these numbers, whatever the shape asks for"
    return Domain(lambda rng, shape: np.resize(np.array(numbers), shape))


def distribution(rng, shape):
    "positive numbers that sum to 1 along dim 1"
    weights = rng.uniform(0.2, 1.0, shape)
    return weights / weights.sum(axis=1, keepdims=True)


real = Domain(lambda rng, shape: rng.standard_normal(shape))
positive = Domain(lambda rng, shape: rng.uniform(0.3, 2.0, shape))
nonzero = Domain(lambda rng, shape: rng.uniform(0.3, 1.5, shape) * rng.choice([-1.0, 1.0], shape))
inner = Domain(lambda rng, shape: rng.uniform(0.1, 0.9, shape))  # of the interval from 0 to 1
untied = Domain(lambda rng, shape: 0.37 * rng.permutation(int(np.prod(shape))).reshape(shape) - 1.1)
boolean = Domain(lambda rng, shape: rng.random(shape) < 0.6)
probabilities = Domain(distribution)


@dataclass(frozen=True)
class Row:
    name: str
    call: callable
    inputs: tuple  # a Domain per input
    shapes: list  # of tuples: a shape per input
    options: list = field(default_factory=lambda: [{}])
    theirs: callable = None  # PyTorch's call where it is spelled otherwise
    parity: bool = True  # False: PyTorch has nothing to compare with (random numbers)
    large: tuple = None  # shapes for one comparison on many numbers
    out_dtype: type = None  # where the result is not of the input's dtype
    slope: bool = True  # False: its gradient is not the slope, on purpose

    def cases(self):
        return [Case(self, shapes, options) for shapes, options in itertools.product(self.shapes, self.options)]


@dataclass(frozen=True)
class Case:
    row: Row
    shapes: tuple
    options: dict
    again: int = 0  # how many cases before this one look the same, but are called otherwise

    @property
    def id(self):
        shapes = ",".join("x".join(map(str, shape)) or "0d" for shape in self.shapes)
        options = ",".join(f"{key}={value}" for key, value in self.options.items()).replace(" ", "")
        return "-".join(part for part in (self.row.name, shapes, options, "again" * self.again) if part)

    def arrays(self, dtype=np.float64):
        "the inputs; the same numbers every time"
        rng = np.random.default_rng(zlib.crc32(self.id.encode()))
        drawn = [np.asarray(domain.draw(rng, shape)) for domain, shape in zip(self.row.inputs, self.shapes)]
        return [a.astype(dtype) if a.dtype.kind == "f" else a for a in drawn]

    def call(self, t, *inputs):
        call = self.row.theirs if self.row.theirs and t.is_torch else self.row.call
        return call(t, *inputs, **self.options)


def numbered(cases):
    "the same cases with ids that differ"
    seen = collections.Counter()
    for case in cases:
        yield replace(case, again=seen[case.id])
        seen[case.id] += 1


def each(*shapes):
    "cases of one input"
    return [(shape,) for shape in shapes]


def together(**choices):
    "every combination of the options"
    return [dict(zip(choices, picked)) for picked in itertools.product(*choices.values())]


ANY = each((3, 4), (), (0, 3), (2, 1, 3))
PAIRS = [((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((2, 1, 4), (3, 1)), ((), (2, 3)), ((3, 4), ()), ((1, 3), (1, 1)),
         ((0, 3), (3,)), ((1, 3), (0, 1)), ((), ())]
LARGE = ((131, 1031),)
SOLIDS = each((2, 3, 4), (1, 5, 1))
VOIDS = each((0, 3, 4), (2, 0, 3))


def elementwise(name, call, domain=real, **more):
    return Row(name, call, (domain,), ANY, large=LARGE, **more)


def binary(name, call, left=real, right=real, **more):
    return Row(name, call, (left, right), PAIRS, large=((131, 1031), (1031,)), **more)


ELEMENTWISE = [
    binary("add", lambda t, x, y: x + y),
    binary("add", lambda t, x, y: x.add(y)),
    binary("sub", lambda t, x, y: x - y),
    binary("sub", lambda t, x, y: x.sub(y)),
    binary("mul", lambda t, x, y: x * y),
    binary("mul", lambda t, x, y: x.mul(y)),
    binary("div", lambda t, x, y: x / y, right=nonzero),
    binary("div", lambda t, x, y: x.div(y), right=nonzero),
    binary("pow", lambda t, x, y: x ** y, left=positive),
    elementwise("add", lambda t, x, c: c + x + c, options=together(c=[2, 0.5])),
    elementwise("sub", lambda t, x, c: c - (x - c), options=together(c=[2, 0.5])),
    elementwise("mul", lambda t, x, c: c * x * c, options=together(c=[2, 0.5])),
    elementwise("div", lambda t, x, c: c / (x / c), nonzero, options=together(c=[2, 0.5])),
    elementwise("pow", lambda t, x, c: x ** c, positive, options=together(c=[-2, -0.5, 0, 0.5, 1, 2, 3, 4.0])),
    elementwise("pow", lambda t, x, c: x.pow(c), options=together(c=[0, 1, 2, 3, 5])),
    elementwise("pow", lambda t, x, c: c ** x, options=together(c=[2, 0.5])),
    elementwise("neg", lambda t, x: -x),
    elementwise("neg", lambda t, x: x.neg()),
    elementwise("exp", lambda t, x: x.exp()),
    elementwise("expm1", lambda t, x: x.expm1()),
    elementwise("log", lambda t, x: x.log(), positive),
    elementwise("log1p", lambda t, x: x.log1p(), positive),
    elementwise("sqrt", lambda t, x: x.sqrt(), positive),
    elementwise("rsqrt", lambda t, x: x.rsqrt(), positive),
    elementwise("square", lambda t, x: x.square()),
    elementwise("reciprocal", lambda t, x: x.reciprocal(), nonzero),
    elementwise("abs", lambda t, x: x.abs(), nonzero),
    elementwise("abs", lambda t, x: abs(x), nonzero),
    elementwise("sign", lambda t, x: x.sign(), nonzero),
    elementwise("sin", lambda t, x: x.sin()),
    elementwise("cos", lambda t, x: x.cos()),
    elementwise("tanh", lambda t, x: x.tanh()),
    elementwise("sigmoid", lambda t, x: x.sigmoid()),
    elementwise("relu", lambda t, x: x.relu(), nonzero),
    elementwise("clamp", lambda t, x, **o: x.clamp(**o), untied,
                options=[{"min": -0.5}, {"max": 0.3}, {"min": -0.5, "max": 0.3}, {"min": 0, "max": 1}]),
    binary("maximum", lambda t, x, y: x.maximum(y)),
    binary("minimum", lambda t, x, y: x.minimum(y)),
    elementwise("clone", lambda t, x: x.clone()),
    elementwise("double", lambda t, x: x.double(), out_dtype=np.float64),
    Row("where", lambda t, c, x, y: t.where(c, x, y), (boolean, real, real),
        [((3, 4), (3, 4), (3, 4)), ((2, 3, 1), (3, 4), (4,)), ((4,), (), (2, 4)), ((), (3,), (2, 1)),
         ((0, 3), (3,), ()), ((), (), ())]),
    Row("where", lambda t, c, x, y: x.where(c, y), (boolean, real, real),
        [((3, 4), (3, 4), (3, 4)), ((3, 1), (4,), ())]),
    Row("where", lambda t, c, x: t.where(c, x, 0.0), (boolean, real), [((3, 4), (3, 4)), ((), ())]),
    Row("masked_fill", lambda t, x, mask, value: x.masked_fill(mask, value), (real, boolean),
        [((3, 4), (3, 4)), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 1)), ((0, 3), (3,)), ((), ())],
        options=together(value=[0.0, -2, -np.inf])),
]

DIMS = [{}, {"dim": 0}, {"dim": -1}, {"dim": 1, "keepdim": True}, {"dim": (0, 2)}, {"dim": (-1, 0), "keepdim": True},
        {"dim": (0, 1, 2)}]
ALL_DIMS = [{"dim": ()}, {"dim": (), "keepdim": True}]  # no dim named: all of them
ONE_DIM = [{}, {"dim": 0}, {"dim": -1}, {"dim": 1, "keepdim": True}]
SCALAR_DIMS = [{}, {"dim": 0}, {"dim": -1, "keepdim": True}]


def named(t, x, name, **options):
    "the method of that name"
    return getattr(x, name)(**options)


def reduction(name, domain=real, dims=DIMS, voids=VOIDS, scalar_dims=SCALAR_DIMS, more=({},)):
    "a method that reduces: over solid shapes, empty ones and 0-d, with every choice of dims and `more` options"
    call, mixed = functools.partial(named, name=name), [{**d, **m} for d in dims for m in more]
    return [Row(name, call, (domain,), SOLIDS, mixed), Row(name, call, (domain,), voids, mixed),
            Row(name, call, (domain,), each(()), scalar_dims),
            Row(name, call, (domain,), each((2, 3)), dims[1:3], large=LARGE)]


def over_no_dim_named(name, **more):
    return Row(name, functools.partial(named, name=name), (untied,), SOLIDS, ALL_DIMS, **more)


REDUCTIONS = [
    *reduction("sum"),
    *reduction("mean"),
    *[over_no_dim_named(name) for name in ("sum", "mean", "amax", "amin")],
    *[over_no_dim_named(name, parity=False) for name in ("var", "std", "logsumexp")],  # PyTorch's backward fails
    *reduction("var", more=[{}, {"correction": 0}], voids=[], scalar_dims=[{"correction": 0}]),
    *reduction("std", more=[{}, {"correction": 0}], voids=[], scalar_dims=[]),
    *reduction("amax", untied, voids=[]),
    *reduction("amin", untied, voids=[]),
    *reduction("prod", dims=ONE_DIM),
    *reduction("logsumexp", dims=DIMS[1:], scalar_dims=SCALAR_DIMS[1:]),
    *reduction("argmax", untied, ONE_DIM, voids=[]),
    *reduction("argmin", untied, ONE_DIM, voids=[]),
    *reduction("max", untied, ONE_DIM, voids=[]),
    *reduction("min", untied, ONE_DIM, voids=[]),
    Row("amax", lambda t, x: x.amax(dim=1), (real,), each((0, 3), (2, 3, 0))),
    Row("amin", lambda t, x: x.amin(dim=(1,), keepdim=True), (real,), each((0, 3), (2, 3, 0))),
    Row("max", lambda t, x: x.max(dim=1), (real,), each((0, 3), (2, 3, 0))),
    Row("min", lambda t, x: x.min(1, True), (real,), each((0, 3), (2, 3, 0))),
    Row("var", lambda t, x, **o: x.var(**o), (real,), each((5, 0)), [{"dim": 0}, {"dim": 0, "correction": 2}]),
    Row("cumsum", lambda t, x, dim: x.cumsum(dim), (real,), SOLIDS + VOIDS, together(dim=[0, 1, -1]), large=LARGE),
    Row("cumsum", lambda t, x, dim: x.cumsum(dim), (real,), each(()), together(dim=[0, -1])),
    Row("softmax", lambda t, x, dim: x.softmax(dim), (real,), SOLIDS + VOIDS, together(dim=[0, 1, -1]), large=LARGE),
    Row("softmax", lambda t, x, dim: x.softmax(dim), (real,), each(()), together(dim=[0, -1])),
    Row("log_softmax", lambda t, x, dim: x.log_softmax(dim), (real,), SOLIDS + VOIDS, together(dim=[0, 1, -1]),
        large=LARGE),
    Row("log_softmax", lambda t, x, dim: x.log_softmax(dim), (real,), each(()), together(dim=[0, -1])),
]

STACKS = [((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)),
          ((2, 3), (5, 3, 4)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,)), ((2, 1, 2, 3), (4, 3, 2)), ((1, 2, 3), (5, 3, 2)),
          ((2, 2, 2, 3), (3, 2)), ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((2, 3, 0), (0, 4)), ((0, 2, 3), (3, 4)),
          ((2, 0, 3), (3, 4)), ((0,), (0,)), ((1, 1), (1, 1))]
EQUATIONS = [
    ("ij->ji", (2, 3)), ("ij->", (2, 3)), ("ijk->j", (2, 3, 4)), ("ij", (2, 3)), ("ba", (2, 3)), ("->", ()),
    ("i->i", (0,)), ("...ij->...ji", (4, 2, 3)), ("i,i->", (3,), (3,)), ("i,j->ij", (3,), (4,)), (",i->i", (), (3,)),
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ij,jk->ik", (2, 0), (0, 4)),
    ("ij,ij->i", (2, 3), (2, 3)), ("i,ij->j", (2,), (2, 3)), ("ij,k->k", (2, 3), (4,)),
    ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)), ("bij,jk->bik", (5, 2, 3), (3, 4)),
    ("b...i,ij->b...j", (2, 4, 5, 3), (3, 2)), ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    ("...i,...i", (2, 3), (4, 1, 3)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)),
    ("bqd,bkd,bkv->bqv", (2, 3, 4), (2, 5, 4), (2, 5, 3)), ("i,i,i,i->i", (3,), (3,), (3,), (3,)),
]
PRODUCTS = [
    Row("matmul", lambda t, x, y: x @ y, (real, real), STACKS, large=((3, 40, 65), (65, 33))),
    Row("matmul", lambda t, x, y: x.matmul(y), (real, real), STACKS[:5], large=((3, 40, 65), (3, 65, 33))),
    Row("mm", lambda t, x, y: x.mm(y), (real, real), [((2, 3), (3, 4)), ((0, 3), (3, 1)), ((2, 0), (0, 4))]),
    Row("bmm", lambda t, x, y: x.bmm(y), (real, real), [((5, 2, 3), (5, 3, 4)), ((0, 2, 3), (0, 3, 4))]),
    Row("outer", lambda t, x, y: x.outer(y), (real, real), [((3,), (4,)), ((0,), (4,))]),
    Row("outer", lambda t, x, y: t.outer(x, y), (real, real), [((3,), (4,)), ((3,), (0,))]),
    *[Row("einsum", lambda t, *x, equation: t.einsum(equation, *x), (real,) * len(shapes), [tuple(shapes)],
          [{"equation": equation}]) for equation, *shapes in EQUATIONS],
]

JOINS = [((2, 3), (2, 3)), ((0, 3), (0, 3))]
SHAPES = [
    Row("reshape", lambda t, x: x.reshape(4, 6), (real,), each((2, 3, 4))),
    Row("reshape", lambda t, x: x.reshape((-1, 2)), (real,), each((2, 3, 4), (0, 2, 3))),
    Row("reshape", lambda t, x: x.reshape([1, 1]), (real,), each((), (1,))),
    Row("reshape", lambda t, x: x.reshape(()), (real,), each((), (1, 1))),
    Row("view", lambda t, x: x.view(3, -1), (real,), each((2, 3, 4), (6,))),
    Row("permute", lambda t, x, dims: x.permute(*dims), (real,), each((2, 3, 4), (0, 3, 4)),
        together(dims=[(2, 0, 1), (-1, 0, 1), (0, 1, 2)])),
    Row("permute", lambda t, x: x.permute((1, 0)), (real,), each((2, 3))),
    Row("permute", lambda t, x: x.permute(()), (real,), each(())),
    Row("transpose", lambda t, x, dims: x.transpose(*dims), (real,), each((2, 3, 4), (0, 3, 4)),
        together(dims=[(0, 1), (-1, 0), (-2, -1), (1, 1)])),
    Row("T", lambda t, x: x.T, (real,), each((2, 3), (0, 3))),
    Row("mT", lambda t, x: x.mT, (real,), each((2, 3), (5, 2, 3))),
    Row("squeeze", lambda t, x, **o: x.squeeze(**o), (real,), each((1, 3, 1), (2, 3, 1), (1, 0, 1)),
        [{}, {"dim": 0}, {"dim": -1}, {"dim": 1}, {"dim": (0, 2)}]),
    Row("squeeze", lambda t, x, **o: x.squeeze(**o), (real,), each(()), [{}, {"dim": 0}]),
    Row("unsqueeze", lambda t, x, dim: x.unsqueeze(dim), (real,), each((2, 3), (0, 3)),
        together(dim=[0, 1, 2, -1, -3])),
    Row("unsqueeze", lambda t, x, dim: x.unsqueeze(dim), (real,), each(()), together(dim=[0, -1])),
    Row("expand", lambda t, x, sizes: x.expand(*sizes), (real,), each((3, 1)),
        together(sizes=[(3, 4), (-1, 4), (2, 3, 4), (2, -1, -1)])),
    Row("expand", lambda t, x: x.expand((2, 3)), (real,), each((), (1,), (3,), (1, 3))),
    Row("expand", lambda t, x: x.expand(0, 3), (real,), each((1, 3), (3,), ())),
    Row("broadcast_to", lambda t, x: x.broadcast_to((2, 4, 3)), (real,), each((4, 3), (4, 1), (2, 1, 3), ())),
    Row("flatten", lambda t, x, **o: x.flatten(**o), (real,), each((2, 3, 4), (0, 3, 4)),
        [{}, {"start_dim": 1}, {"end_dim": 1}, {"start_dim": -2, "end_dim": -1}, {"start_dim": 1, "end_dim": 1}]),
    Row("flatten", lambda t, x: x.flatten(), (real,), each(())),
    Row("flip", lambda t, x, dims: x.flip(*dims), (real,), SOLIDS + VOIDS, together(dims=[(0,), (0, 2), (-1, 1)])),
    Row("flip", lambda t, x: x.flip((0, 1)), (real,), each((2, 3))),
    Row("roll", lambda t, x, **o: x.roll(**o), (real,), SOLIDS + VOIDS,
        [{"shifts": 1}, {"shifts": -2, "dims": 1}, {"shifts": (1, 2), "dims": (0, -1)}, {"shifts": 7, "dims": 2}]),
    Row("repeat", lambda t, x, counts: x.repeat(*counts), (real,), each((2, 3), (0, 3)),
        together(counts=[(2, 3), (2, 1, 2), (1, 1), (0, 2)])),
    Row("repeat", lambda t, x: x.repeat(3), (real,), each((), (2,))),
    Row("repeat", lambda t, x: x.repeat((2, 2)), (real,), each((), (2,), (2, 3))),
    Row("cat", lambda t, *x, dim: t.cat(x, dim=dim), (real, real), JOINS, together(dim=[0, 1, -1])),
    Row("cat", lambda t, *x: t.cat(x), (real,) * 3, [((1, 3), (4, 3), (0, 3)), ((2,), (1,), (3,))]),
    Row("cat", lambda t, *x: t.cat(list(x), -1), (real,) * 5, [((2, 1), (2, 3), (2, 2), (2, 1), (2, 4))]),
    Row("cat", lambda t, x: t.cat([x, x, x], dim=1), (real,), each((2, 3))),
    Row("stack", lambda t, *x, dim: t.stack(x, dim=dim), (real, real), JOINS, together(dim=[0, 1, 2, -1])),
    Row("stack", lambda t, *x: t.stack(x), (real,) * 3, [((), (), ())]),
    Row("split", lambda t, x, size, dim: x.split(size, dim), (real,), each((5, 5)),
        together(size=[2, 5, 7, [1, 4], [2, 0, 3]], dim=[0, 1, -1])),
    Row("split", lambda t, x: x.split(2), (real,), each((0, 3), (3, 0))),
    Row("chunk", lambda t, x, chunks, dim: x.chunk(chunks, dim), (real,), each((6, 5)),
        together(chunks=[1, 2, 4, 9], dim=[0, 1, -1])),
    Row("chunk", lambda t, x: x.chunk(2, -1), (real,), each((0, 3), (3, 4))),
    Row("tril", lambda t, x, k: x.tril(k), (real,), each((3, 4), (2, 4, 3), (0, 3), (2, 0, 3)),
        together(k=[0, 1, -1, 5])),
    Row("triu", lambda t, x, k: x.triu(k), (real,), each((3, 4), (2, 4, 3), (0, 3), (2, 0, 3)),
        together(k=[0, 1, -1, 5])),
    Row("pad", lambda t, x, pad, **o: t.pad(x, pad, **o), (real,), each((3, 4), (2, 3, 4)),
        [{"pad": (1, 2)}, {"pad": (1, 0, 0, 2), "value": 1.5}, {"pad": (-1, 2)},
         {"pad": (2, -1, -1, 1), "mode": "constant"}]),
    Row("pad", lambda t, x: t.pad(x, (1, 1)), (real,), each((0,), (2, 0), (3,))),
]

KEYS = [
    0, -1, slice(1, 3), slice(None, None, 2), slice(3, None, 3), slice(2, 2), None, ..., (),  # slices and numbers
    (1, 2), (1, 2, 3), (slice(None), 0), (..., 0), (..., None), (0, ..., slice(1, None, 2)),
    (None, slice(1, 3), None, 2), (slice(-2, None), slice(None), slice(0, 4, 3)),
    [], [0, 0, 3], ([0, 1, 1], [2, 2, 2]), (slice(None), [1, 1]), ([3, 3], slice(None), [0, 0]),  # lists that repeat
    (..., [4, 0, 4]), ([[0, 1], [1, 0]], 2), ([-1, 3], None),
]
INDEXING = [
    *[Row("getitem", lambda t, x, key: x[key], (real,), each((4, 3, 5)), [{"key": key}]) for key in KEYS],
    Row("getitem", lambda t, x: x[()], (real,), each(())),
    Row("getitem", lambda t, x: x[None, ..., None], (real,), each((), (0, 2))),
    Row("getitem", lambda t, x, i: x[i], (real, below(4)),
        [((4, 3), (6,)), ((4, 3), (2, 5)), ((4,), ()), ((4, 0), (3,)), ((4, 2), (0,))]),
    Row("getitem", lambda t, x, i: x[:, i], (real, below(4)), [((2, 4, 3), (6,)), ((2, 4), (2, 5)), ((0, 4), (3,))]),
    Row("getitem", lambda t, x, i: x[i, ..., None, 1], (real, below(4)), [((4, 2, 3), (6,)), ((4, 3), (2, 5))]),
    Row("getitem", lambda t, x, i, j: x[i, j], (real, below(4), below(3)),
        [((4, 3), (6,), (6,)), ((4, 3, 2), (2, 1), (5,))]),
    Row("getitem", lambda t, x, i, j: x[i, :, j], (real, below(4), below(3)),
        [((4, 2, 3), (6,), (6,)), ((4, 2, 3), (2, 1), (5,))]),
    Row("getitem", lambda t, x, m: x[m], (real, boolean), [((4, 3), (4,)), ((4, 3), (4, 3)), ((0, 3), (0,)), ((), ())]),
    Row("getitem", lambda t, x, m: x[..., m, ::2], (real, boolean), [((2, 4, 3), (4,))]),
    Row("getitem", lambda t, x, i: x[i], (real, below(50)), [((50, 2), (7,))], large=((50, 8), (4000,))),
    Row("gather", lambda t, x, i, dim: x.gather(dim, i), (real, below(2)),
        [((2, 3), (2, 3)), ((3, 4), (3, 4)), ((3, 4), (2, 2)), ((2, 3, 4), (2, 1, 4)), ((2, 3), (0, 3))],
        together(dim=[0, 1, -1])),
    Row("gather", lambda t, x, i, dim: x.gather(dim, i), (real, below(1)), [((), ())], together(dim=[0, -1])),
    Row("index_select", lambda t, x, i, dim: x.index_select(dim, i), (real, below(2)),
        [((2, 3), (5,)), ((3, 2, 4), (4,)), ((2, 2), (0,))], together(dim=[0, 1, -1])),
    Row("unpacked", lambda t, x: tuple(x), (real,), each((3, 2), (3,), (2, 0))),
]
