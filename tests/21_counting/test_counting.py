"""Counts against closed formulas, operation by operation; and that counting changes nothing."""
import numpy as np
import pytest

import tinytorch
from tinytorch import Tensor, fast, nn
from tinytorch.counting import (
    Counted,
    Machine,
    Tally,
    count,
    draw_roofline,
    einsum_flops,
    fastest,
    measure_machine,
    multiplied_weights,
    roofline,
    training_flops,
)
from tinytorch.nn import functional as F
from tinytorch.ops.elementwise import Function
from tinytorch.state import observed_by, thread
from tinytorch.tensor import apply


def real(*shape, seed=0):
    numbers = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return Tensor(numbers, requires_grad=True)


def flops(function, name):
    "(FLOPs forward, FLOPs backward) of the operation `name` in function()"
    rows = count(lambda: function().sum().backward()).rows
    return rows[name, "forward"].flops, rows[name, "backward"].flops


B, T, D, H = 2, 5, 6, 3


def linear():
    x, weight = real(B, T, D), real(4, D)
    return lambda: F.linear(x, weight), 2 * B * T * D * 4, 4 * B * T * D * 4


def matmul(*shapes):
    x, y = real(*shapes[0]), real(*shapes[1])
    stack = np.broadcast_shapes(shapes[0][:-2], shapes[1][:-2])
    each = 2 * int(np.prod(stack)) * shapes[0][-2] * shapes[0][-1] * shapes[1][-1]
    repeated = y.numel() * (stack[0] - 1) if len(shapes[1]) == 3 else 0  # its gradients are added up
    return lambda: x @ y, each, 2 * each + repeated


def attention():
    q, k, v = (real(B, H, T, D, seed=i) for i in range(3))
    products, scores = 4 * B * H * T * T * D, B * H * T * T
    rows = B * H * T  # the softmax: scaled queries; its largest, shift, exp, sum, at least 1, shares
    softmax = q.numel() + (scores - rows) + scores + scores + (scores - rows) + rows + scores
    back = 3 * scores + (scores - rows) + 2 * q.numel()
    return lambda: F.scaled_dot_product_attention(q, k, v), products + softmax, 2 * products + back


def conv():
    x, weight = real(2, 4, 7, 7), real(6, 2, 3, 3)
    products = 2 * (2 * 6 * 5 * 5) * (2 * 3 * 3)
    return lambda: F.conv2d(x, weight, groups=2), products, 2 * products


CASES = {"Linear": linear, "MatMul": lambda: matmul((B, T, D), (D, 3)), "MatMul of stacks": lambda: matmul(
    (B, H, T, D), (H, D, T)), "Attention": attention}


@pytest.mark.parametrize("name", CASES)
def test_products_are_those_of_the_formula(name):
    function, forward, backward = CASES[name]()
    assert flops(function, name.split()[0]) == (forward, backward)


def test_a_convolution_takes_two_flops_for_each_place_of_the_kernel():
    function, forward, backward = conv()
    got = flops(function, "Conv")
    sums = 2 * 6 * 25 * 9, 6 * 2 * 9 + 2 * 4 * 25 * 9  # places are added up; so are images, and windows that overlap
    assert forward <= got[0] <= forward + sums[0] and backward <= got[1] <= backward + sums[1]


@pytest.mark.parametrize("call, name, forward, backward", [
    (lambda x: x + x, "Add", 1, 0), (lambda x: x * x, "Mul", 1, 2), (lambda x: x.tanh(), "Tanh", 1, 3),
    (lambda x: x.sigmoid(), "Sigmoid", 4, 3), (lambda x: x.relu(), "Relu", 1, 1), (lambda x: x.exp(), "Exp", 1, 1),
    (lambda x: x.reshape(2, 6), "Reshape", 0, 0), (lambda x: x[1:], "Index", 0, 0), (lambda x: x.T, "Permute", 0, 0)])
def test_arithmetic_of_each_element(call, name, forward, backward):
    x = real(3, 4)
    assert flops(lambda: call(x), name) == (12 * forward, 12 * backward)


def test_einsum_is_one_sum_over_all_letters():
    x, y = real(3, 4), real(4, 5)
    assert flops(lambda: tinytorch.einsum("ij,jk->ik", x, y), "Einsum") == (120, 240)
    assert einsum_flops("bij,bjk,bk->bi", np.ones((2, 3, 4)), np.ones((2, 4, 5)), np.ones((2, 5))) == 3 * 2 * 3 * 4 * 5


def gpt(**options):
    tinytorch.manual_seed(0)
    sizes = dict(vocab_size=31, context=16, d_model=24, num_layers=2, num_heads=3)
    return nn.GPT(nn.GPTConfig(**sizes | options))


def step_of(model, batch=3, context=16):
    ids, targets = (Tensor(np.random.default_rng(i).integers(31, size=(batch, context))) for i in range(2))

    def step():
        F.cross_entropy(model(ids).flatten(0, 1), targets.flatten()).backward()
        model.zero_grad()
    return step


@pytest.mark.parametrize("options", [{}, {"tied_head": False}, {"activation": "swiglu", "norm": "rms_norm"},
                                     {"positions": "rotary"}, {"num_layers": 1, "mlp_hidden": 7}])
def test_a_gpt_takes_what_the_literature_says(options):
    model = gpt(bias=False, **options)
    rows, layers = count(step_of(model)).rows, model.config.num_layers
    linear = sum(rows["Linear", half].flops for half in ("forward", "backward"))
    assert linear == 6 * multiplied_weights(model) * 48
    attention = sum(rows["Attention", half].flops for half in ("forward", "backward"))
    formula = training_flops(multiplied_weights(model), layers, 24, 16, 48)
    softmax = 12 * layers * 3 * 3 * 16 * 16 + 4 * layers * 48 * 24  # a dozen for each score, some for each query
    assert formula <= linear + attention <= formula + softmax


def test_the_same_whichever_forms_are_switched_on():
    model = gpt()
    with fast.use("plain"):
        plain = count(step_of(model))
    with fast.use("numpy"):
        assert count(step_of(model)).rows == plain.rows
        loss = F.linear(real(2, 3), real(4, 3))
    assert np.isfinite(loss.data).all() and thread.observer is None


@pytest.mark.parametrize("options", [{}, {"norm": "rms_norm", "activation": "relu_squared", "positions": "rotary"}])
def test_counting_changes_no_gradient(options):
    model, ids = gpt(**options), Tensor(np.random.default_rng(0).integers(31, size=(2, 9)))

    def gradients(observer):
        model.zero_grad()
        with fast.use("plain"), observed_by(observer):
            F.cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()
        return [p.grad.data for p in model.parameters()]

    for counted, plain in zip(gradients(Tally()), gradients(None)):
        assert type(counted) is np.ndarray and np.array_equal(counted, plain) and counted.dtype == plain.dtype


def test_an_operation_of_your_own_is_counted_too():
    class Cube(Function):
        def forward(self, x):
            self.x = x
            return x * x * x

        def backward(self, grad):
            return (3 * self.x * self.x * grad,)

    x = real(5)
    rows = count(lambda: apply(Cube(), x).sum().backward()).rows
    assert rows["Cube", "forward"] == (1, 10, 40) and rows["Cube", "backward"].flops == 15


class Meter:
    flops = 0


def test_a_counted_array_behaves_like_the_plain_one():
    meter, plain = Meter(), np.arange(6, dtype=np.float32).reshape(2, 3)
    x = Counted.of(plain, meter)
    calls = (lambda x: x @ x.T, lambda x: np.modf(x)[1], lambda x: x[1:].sum(), lambda x: x.mean(axis=0),
             lambda x: np.where(x > 2, x, 0), lambda x: np.dot(x, x.T), lambda x: np.tensordot(x, x, 2),
             lambda x: np.exp(x, where=x > -1, out=np.zeros_like(x)), lambda x: np.concatenate([x, x]),
             lambda x: np.linalg.norm(x))
    for compute in calls:
        np.testing.assert_array_equal(np.asarray(compute(x)), compute(plain))
    assert meter.flops > 60
    y = Counted.of(plain.copy(), meter)
    y += 1
    assert isinstance(y, Counted) and y[0, 0] == 1, "in place, into its own memory"
    whole = np.arange(3)
    assert Counted.of(whole, meter) is whole and Counted.of(None, meter) is None, "integers are not counted"


def test_the_table_has_all_rows_and_their_sum():
    tally = count(step_of(gpt()))
    lines = str(tally).splitlines()
    assert len(lines) == len(tally.rows) + 2 and len({len(line) for line in lines}) == 1
    assert f"{tally.flops / 1e6:.3f}" in lines[-1] and f"{tally.bytes / 1e6:.3f}" in lines[-1]
    assert tally.flops == sum(row.flops for row in tally.rows.values())


def test_what_a_machine_can_do_is_measured():
    machine = measure_machine(sizes=(64, 128), megabytes=1, repeats=3)
    assert 1e7 < machine.flops < 1e14 and 1e7 < machine.bandwidth < 1e14
    for options in ({"sizes": (0, 4)}, {"megabytes": 0}, {"repeats": 0}):
        with pytest.raises(ValueError, match="0"):
            measure_machine(**options)


def test_the_fastest_of_several_counts():
    calls = []
    assert fastest(lambda: calls.append(sum(range(1000 * (len(calls) % 3)))), 5) < 1 and len(calls) == 6


def test_a_roofline_has_a_point_for_each_operation_that_computes():
    points = roofline(step_of(gpt()), repeats=2)
    names = {(point.name, point.half) for point in points}
    assert {("Linear", "forward"), ("Linear", "backward"), ("TanhGelu", "forward"), ("LayerNorm", "backward")} <= names
    assert "Reshape" not in {name for name, _ in names}
    with fast.use("numpy"):
        faster = {point.name for point in roofline(step_of(gpt()), repeats=1)}
    assert "Attention" in faster, "faster forms go by the name of what they inherit from"
    assert all(point.seconds > 0 and point.rate == point.flops / point.seconds for point in points)
    assert [p.seconds for p in points] == sorted((p.seconds for p in points), reverse=True)
    intensity = {(p.name, p.half): p.intensity for p in points}
    assert intensity["Linear", "forward"] > 2 * intensity["LayerNorm", "forward"], "products do more for each byte"


def test_a_roofline_is_drawn():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    points = roofline(step_of(gpt()), repeats=1)
    draw_roofline(axes, points, Machine(5e9, 1e9))
    figure.canvas.draw()
    heights = axes.lines[0].get_ydata()
    assert heights.max() == 5 and axes.get_xscale() == axes.get_yscale() == "log"
    assert len(axes.texts) == min(8, len(points))
    plt.close(figure)
