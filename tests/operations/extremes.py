"""Numbers at the edge: ties, zeros, infinities, sizes that overflow. The table's rows are away from all of them.

Each line is a name, a call (the same here and in PyTorch) and its inputs. Values and gradients are
PyTorch's, to the last infinity and nan, in float32 and float64.
"""
from dataclasses import dataclass

import numpy as np
from operations.table import Row, fixed, values

inf, nan = float("inf"), float("nan")


@dataclass(frozen=True)
class Extreme:
    "a case of the table whose inputs are given, number by number"
    name: str
    call: callable
    given: tuple
    dtypes: tuple = (np.float32, np.float64)

    @property
    def id(self):
        return self.name

    @property
    def row(self):
        return Row(self.name, self.call, tuple(fixed(values(0)) if array.dtype.kind != "f" else values(0.0)
                                               for array in self.arrays()), [])

    def arrays(self, dtype=np.float64):
        arrays = [np.array(numbers) for numbers in self.given]
        return [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]


def extreme(name, call, *given, **more):
    return Extreme(name, call, given, **more)


ZEROS = [0.0, -0.0, 1.0]
HUGE = [-1e4, -300.0, -88.0, -20.0, 0.0, 20.0, 88.0, 300.0, 1e4]
TIES = [[1.0, 3.0, 3.0, 3.0], [2.0, 2.0, -1.0, 2.0], [0.0, 0.0, 0.0, 0.0]]
MASKED = [[-inf, 1.0, 2.0], [0.0, -inf, -inf], [3.0, 3.0, -inf]]
LOGITS = [[1e4, 0.0, -1e4], [-1e4, 1e4, 0.0], [80.0, -80.0, 0.0], [3e38, 0.0, -3e38]]
EQUAL = [[3e38] * 40, [1e38] * 40, [-3e38] * 40]
# what an operation does where a row of the table would not go
ELEMENTWISE = [
    extreme("abs at 0", lambda t, x: x.abs(), ZEROS),
    extreme("sign at 0", lambda t, x: x.sign(), [-2.0, 0.0, 3.0]),
    extreme("relu at 0", lambda t, x: x.relu(), ZEROS),
    extreme("leaky_relu at 0", lambda t, x: t.leaky_relu(x), ZEROS),
    extreme("clamp at its ends", lambda t, x: x.clamp(min=-1, max=1), [-2.0, -1.0, 0.0, 1.0, 2.0]),
    extreme("clamp with ends crossed", lambda t, x: x.clamp(min=1, max=-1), [-2.0, 0.0, 2.0]),
    extreme("clamp of infinities", lambda t, x: x.clamp(min=-1.0), [-inf, inf]),
    extreme("maximum ties", lambda t, x, y: x.maximum(y), [1.0, 2.0, 3.0], [1.0, 1.0, 3.0]),
    extreme("minimum ties", lambda t, x, y: x.minimum(y), [1.0, 2.0, 3.0], [1.0, 1.0, 3.0]),
    extreme("maximum ties, broadcast", lambda t, x, y: x.maximum(y), TIES, [1.0, 2.0, 3.0, 3.0]),
    extreme("div by 0", lambda t, x, y: x / y, [1.0, -1.0, 0.0], [0.0, 0.0, 2.0]),
    extreme("div by tiny", lambda t, x, y: x / y, [1e-24, 1.0, 1e-20], [1e-24, 1e-18, 1e-10]),
    extreme("div by huge", lambda t, x, y: x / y, [1e20, 1.0], [1e25, 1e30]),
    extreme("log of 0", lambda t, x: x.log(), [0.0, 1.0, inf]),
    extreme("log1p of tiny", lambda t, x: x.log1p(), [1e-10, -1.0, 1e30]),
    extreme("expm1 of tiny", lambda t, x: x.expm1(), [1e-10, -1e-12, -200.0]),
    extreme("exp overflows", lambda t, x: x.exp(), HUGE),
    extreme("sqrt of 0", lambda t, x: x.sqrt(), [0.0, 1e-30, 1e30]),
    extreme("rsqrt of tiny", lambda t, x: x.rsqrt(), [0.0, 1e-12, 1e20]),
    extreme("reciprocal of 0", lambda t, x: x.reciprocal(), [0.0, 1e-15, -1e15]),
    extreme("pow of 0", lambda t, x, y: x ** y, [0.0, 0.0, 0.0, 2.0], [0.0, 1.0, 2.0, 0.0]),
    extreme("pow of a negative number", lambda t, x: x ** 3, [-2.0, 0.0, 2.0]),
    extreme("0 to the power of 0", lambda t, x: x ** 0, ZEROS),
    extreme("square root as a power, at 0", lambda t, x: x ** 0.5, [0.0, 4.0]),
    extreme("sigmoid of huge", lambda t, x: x.sigmoid(), HUGE),
    extreme("tanh of huge", lambda t, x: x.tanh(), HUGE),
    extreme("logsigmoid of huge", lambda t, x: t.logsigmoid(x), HUGE),
    extreme("softplus of huge", lambda t, x: t.softplus(x), HUGE),
    extreme("softplus at its threshold", lambda t, x: t.softplus(x, beta=2.0, threshold=4.0), [1.9999, 2.0, 2.0001]),
    extreme("silu of huge", lambda t, x: t.silu(x), HUGE),
    extreme("gelu of huge", lambda t, x: t.gelu(x), HUGE),
    extreme("gelu of huge, tanh", lambda t, x: t.gelu(x, approximate="tanh"), HUGE),
    extreme("where hides nothing from nan", lambda t, c, x: t.where(c, x, 0.0), [True, False], [nan, nan]),
    extreme("masked_fill of nan", lambda t, x, m: x.masked_fill(m, 0.0), [nan, 1.0], [True, False]),
]
REDUCTIONS = [
    extreme("amax ties", lambda t, x: x.amax(dim=1), TIES),
    extreme("amin ties", lambda t, x: x.amin(dim=0), TIES),
    extreme("amax ties, two dims", lambda t, x: x.amax(dim=(0, 1)), TIES),
    extreme("max ties, no dim", lambda t, x: x.max(), TIES),
    extreme("min ties, no dim", lambda t, x: x.min(), TIES),
    extreme("prod with a zero", lambda t, x: x.prod(), [2.0, 0.0, 3.0]),
    extreme("prod with two zeros", lambda t, x: x.prod(dim=1), [[2.0, 0.0, 0.0], [4.0, 0.0, 5.0]]),
    extreme("var of one", lambda t, x: x.var(dim=1), [[2.0], [3.0]]),
    extreme("var of constants", lambda t, x: x.var(), [3.0, 3.0, 3.0]),
    extreme("std of constants", lambda t, x: x.std(), [3.0, 3.0, 3.0]),
    extreme("std of rows, one constant", lambda t, x: x.std(dim=1, keepdim=True), [[3.0, 3.0], [1.0, 4.0]]),
    extreme("var far from 0", lambda t, x: x.var(), [10001.0, 10002.0, 10004.0]),
    extreme("logsumexp of -inf", lambda t, x: x.logsumexp(dim=1), MASKED),
    extreme("logsumexp of nothing but -inf", lambda t, x: x.logsumexp(dim=0), [-inf, -inf]),
    extreme("logsumexp of inf", lambda t, x: x.logsumexp(dim=0), [inf, 1.0]),
    extreme("logsumexp of huge", lambda t, x: x.logsumexp(dim=1), LOGITS),
    extreme("softmax of huge", lambda t, x: x.softmax(dim=1), LOGITS),
    extreme("softmax of -inf", lambda t, x: x.softmax(dim=1), MASKED),
    extreme("softmax of nothing but -inf", lambda t, x: x.softmax(dim=0), [-inf, -inf]),
    extreme("log_softmax of huge", lambda t, x: x.log_softmax(dim=1), LOGITS),
    extreme("log_softmax of -inf", lambda t, x: x.log_softmax(dim=1), MASKED),
    extreme("softmax of huge and equal", lambda t, x: x.softmax(dim=1), EQUAL),
    extreme("log_softmax of huge and equal", lambda t, x: x.log_softmax(dim=1), EQUAL),
    extreme("logsumexp of huge and equal", lambda t, x: x.logsumexp(dim=1), EQUAL),
    extreme("mean of nothing", lambda t, x: x.mean(), np.zeros(0)),
    extreme("sum of huge", lambda t, x: x.sum(), [1e38, -1e38, 1.0]),
    extreme("matmul with a zero times inf", lambda t, x, y: x @ y, [[0.0, 1.0]], [[inf], [2.0]]),
]
NN = [
    extreme("cross_entropy, confident and right", lambda t, x, y: t.cross_entropy(x, y, reduction="none"), LOGITS[:3],
        [0, 1, 0]),
    extreme("cross_entropy, confident and wrong", lambda t, x, y: t.cross_entropy(x, y), LOGITS[:3], [2, 0, 1]),
    extreme("cross_entropy, all ignored", lambda t, x, y: t.cross_entropy(x, y), LOGITS[:2], [-100, -100]),
    extreme("cross_entropy, all ignored, sum", lambda t, x, y: t.cross_entropy(x, y, reduction="sum"), LOGITS[:2],
        [-100, -100]),
    extreme("cross_entropy, a class masked out", lambda t, x, y: t.cross_entropy(x, y), MASKED, [1, 0, 0]),
    extreme("cross_entropy, one class", lambda t, x, y: t.cross_entropy(x, y), [[3.0], [-2.0]], [0, 0]),
    extreme("cross_entropy, sure targets", lambda t, x, y: t.cross_entropy(x, y.detach()), LOGITS[:3], np.eye(3)),
    extreme("nll_loss of -inf", lambda t, x, y: t.nll_loss(t.log_softmax(x, dim=1), y, reduction="none"), MASKED,
        [1, 0, 1]),
    extreme("binary_cross_entropy at 0 and 1", lambda t, x, y: t.binary_cross_entropy(x, y.detach(), reduction="none"),
            [0.0, 1.0, 0.0, 1.0, 0.5], [0.0, 1.0, 1.0, 0.0, 0.5], dtypes=(np.float32,)),
    extreme("binary_cross_entropy_with_logits of huge",
            lambda t, x, y: t.binary_cross_entropy_with_logits(x, y.detach(), reduction="none"), HUGE,
                [0.0, 1.0, 0.5] * 3),
    extreme("l1_loss at 0", lambda t, x, y: t.l1_loss(x, y), [1.0, 2.0], [1.0, 3.0]),
    extreme("layer_norm of constants", lambda t, x: t.layer_norm(x, (3,)), [[2.0, 2.0, 2.0], [0.0, 0.0, 0.0]]),
    extreme("layer_norm far from 0", lambda t, x: t.layer_norm(x, (4,)), [[1001.0, 1002.0, 1003.0, 1005.0]],
        dtypes=(np.float64,)),
    extreme("layer_norm of one", lambda t, x: t.layer_norm(x, (1,)), [[2.0], [3.0]]),
    extreme("rms_norm of zeros", lambda t, x: t.rms_norm(x, (3,)), [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]),
    extreme("normalize zeros", lambda t, x: t.normalize(x, eps=0.5), [[0.0, 0.0], [3.0, 4.0]]),
    extreme("attention with huge scores", lambda t, q, k, v: t.scaled_dot_product_attention(q, k, v),
            [[1e3, 0.0], [0.0, -1e3]], [[1e3, 1.0], [1.0, 1e3]], [[1.0, 2.0], [3.0, 4.0]]),
    extreme("attention with a mask of -inf", lambda t, q, m: t.scaled_dot_product_attention(q, q, q,
        attn_mask=m.detach()),
            [[1.0, 2.0], [0.5, -1.0]], [[0.0, -inf], [-inf, 0.0]]),
    extreme("attention that may see nothing", lambda t, q, m: t.scaled_dot_product_attention(q, q, q, attn_mask=m),
            [[1.0, 2.0], [0.5, -1.0]], [[True, False], [False, False]]),
    extreme("attention whose products are too large before they are scaled", lambda t, q, k, v:
            t.scaled_dot_product_attention(q, k, v), [[1e20] * 40] * 2, [[1e17] * 40] * 3, [[1.0, 2.0]] * 3,
            dtypes=(np.float32,)),
    extreme("attention with a scale of 0 and a mask that learns", lambda t, q, m: t.scaled_dot_product_attention(
            q, q, q, attn_mask=m, scale=0.0), [[1.0, 2.0], [0.5, -1.0]], [[0.3, -1.0], [2.0, 0.5]]),
    extreme("dropout of everything", lambda t, x: t.dropout(x, p=1.0), [1.0, 2.0]),
]
EXTREMES = ELEMENTWISE + REDUCTIONS + NN
