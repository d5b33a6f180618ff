"""What students write: wrong solutions of exercises, and words by which the chapter's suite names the mistake.

A body stands in the place of the solution; a pair (old, new) changes the solution of the reference in one place.
`region` counts the solution regions of the exercise's cell, from 0.
"""
from typing import NamedTuple


class Mistake(NamedTuple):
    chapter: str
    exercise: str
    what: str
    body: str | tuple[str, str]
    words: str  # of a message that the student gets
    region: int | None = 0  # None: the one region that holds `old`


MISTAKES = [
    # ---- 01_elementwise
    Mistake(
        "01_elementwise", "exp", "the slope is taken at the gradient",
        "return (grad * np.exp(grad),)",
        words="the slope is the output", region=3,
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "numerical-gradient", "two outputs that may be one array",
        ("above = np.array(f())", "above = f()"),
        words="copy each",
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "numerical-gradient", "no output is copied",
        """
slope = np.zeros_like(x)
for index in np.ndindex(x.shape):
    before = x[index]
    x[index] = before + eps
    above = f()
    x[index] = before - eps
    below = f()
    x[index] = before
    slope[index] = np.sum(cotangent * (above - below)) / (2 * eps)
return slope
""",
        words="both outputs are one array",
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "numerical-gradient", "nudged one way only",
        ("x[index] = before - eps", "x[index] = before"),
        words="only one way",
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "numerical-gradient", "the numbers are not put back",
        ("    x[index] = before\n", "    pass\n"),
        words="x, after it was measured",
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "compare-gradients", "nan goes through",
        ("~(difference <= allowed)", "difference > allowed"),
        words="nan must be refused",
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "compare-gradients", "the difference has a sign",
        ("np.abs(got - expected)", "got - expected"),
        words="compare absolute values",
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "check-function", "returns after the first input",
        ("largest = max(largest, compare_gradients(operation.name, i, expected, gradients[i], shapes))",
         "return compare_gradients(operation.name, i, expected, gradients[i], shapes)"),
        words="compare every input of floats", region=1,
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "add-sub", "the second gradient of a difference has no sign",
        ("unbroadcast(-grad,", "unbroadcast(grad,"),
        words="the sign is wrong", region=3,
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "mul", "unbroadcast is missing",
        """
dx = grad * self.y if self.needs_grad[0] else None
dy = grad * self.x if self.needs_grad[1] else None
return dx, dy
""",
        words="unbroadcast", region=1,
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "div", "the sign of the second gradient",
        """
dx = unbroadcast(grad / self.y, np.shape(self.x)) if self.needs_grad[0] else None
dy = unbroadcast(grad * (self.x / self.y / self.y), np.shape(self.y)) if self.needs_grad[1] else None
return dx, dy
""",
        words="the sign is wrong", region=1,
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "pow", "the exponent stays",
        ("y * x ** (y - 1)", "y * x ** y"),
        words="the exponent goes down by one", region=1,
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "pow", "0 times infinity",
        ("np.where(np.equal(y, 0), 0, y * x ** (y - 1))", "y * x ** (y - 1)"),
        words="at y = 0 the slope is 0", region=1,
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "logarithms", "a factor of 2 is missing",
        "return (grad / self.out,)",
        words="a factor of 2 is missing", region=7,
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "where", "the mask is inverted",
        """
dx = unbroadcast(np.where(self.condition, 0, grad), self.shapes[0]) if self.needs_grad[1] else None
dy = unbroadcast(np.where(self.condition, grad, 0), self.shapes[1]) if self.needs_grad[2] else None
return None, dx, dy
""",
        words="the mask is inverted", region=1,
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "relu", "the gradient passes everywhere",
        "return (grad,)",
        words="the mask is missing", region=1,
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "clamp-maximum-cast", "the gradient passes outside",
        "return (grad,)",
        words="no gradient from outside", region=2,
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "clamp-maximum-cast", "of two that tie, x takes all",
        ("np.where(np.equal(self.x, self.y), 0.5, self.wins(self.x, self.y))", "(self.x >= self.y)"),
        words="where they tie, each gets half", region=4,
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "unbroadcast", "a mean over the stretched axes",
        """
added = tuple(range(grad.ndim - len(shape)))
grad = grad.mean(axis=added) if added else grad
stretched = tuple(i for i, size in enumerate(shape) if size == 1 and grad.shape[i] != 1)
return grad.mean(axis=stretched, keepdims=True) if stretched else grad
""",
        words="a mean where it should be a sum",
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "unbroadcast", "only the axes in front are summed",
        "return grad.sum(axis=tuple(range(grad.ndim - len(shape))))",
        words="axes of size 1 are not summed",
    ),  # fmt: skip
    # ---- 02_shapes
    Mistake(
        "02_shapes", "positive-dims", "negative dims stay negative",
        "axes = tuple(sorted(dims))",
        words="counted from the front", region=1,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "sum", "the gradient of a mean is that of a sum",
        "return (np.broadcast_to(self.restore(grad), self.shape),)",
        words="divide by the count", region=3,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "var-std", "divided by n",
        ("1 / (self.count - self.correction)", "1 / self.count"),
        words="the correction is missing", region=1,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "amax", "each of those that tie gets all of it",
        "return (self.ties * self.restore(grad),)",
        words="elements that tie share the gradient", region=1,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "prod-cumsum", "divides by the factor",
        """
out = self.x.prod(axis=self.axes, keepdims=True)
with np.errstate(all="ignore"):
    return (self.restore(grad) * (out / self.x),)
""",
        words="fails at 0", region=1,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "prod-cumsum", "the gradient runs from the front",
        "return (np.cumsum(grad, axis=self.dim).reshape(grad.shape),)",
        words="from the other end", region=4,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "log-softmax", "the logarithm of a rounded 0",
        """
exp = np.exp(x - x.max(axis=self.dim, keepdims=True))
self.out = np.log(exp / exp.sum(axis=self.dim, keepdims=True))
return self.out
""",
        words="rounded to 0", region=1,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "log-softmax", "the output is taken for p",
        ("np.exp(self.out)", "self.out"),
        words="p is the exponential of the output", region=2,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "index", "assignment instead of scatter-add",
        """
dx = np.zeros(self.shape, grad.dtype)
dx[self.key] = grad
return (dx,)
""",
        words="assigned where it should be added", region=2,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "matmul", "no transpose",
        ("grad @ y.mT", "grad @ y"),
        words="is a transpose missing", region=1,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "softmax", "each share as if it stood alone",
        "return (grad * self.out * (1 - self.out),)",
        words="a term is missing", region=2,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "softmax", "large scores overflow",
        """
out = np.exp(x)
out /= out.sum(axis=self.dim, keepdims=True)
self.out = out
return out
""",
        words="overflow", region=1,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "einsum", "what was summed away goes to one place",
        ("dx = np.broadcast_to(unbroadcast(dx, shape), shape)",
         "dx = np.pad(dx, [(0, n - m) for n, m in zip(shape, dx.shape)])"),
        words="a letter summed away", region=3,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "reshape-permute", "the permutation is not inverted",
        "return (grad.transpose(self.dims),)",
        words="the inverse permutation", region=5,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "reshape-permute", "one copy's gradient for all of them",
        "return (grad[tuple(slice(size) for size in self.before)],)",
        words="the gradients of all copies are summed", region=8,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "gather", "assignment instead of scatter-add",
        """
dx = np.zeros(self.shape, grad.dtype)
dx[self.key] = grad
return dx, None
""",
        words="assigned where it should be added", region=2,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "cat-flip-roll", "cut at the sizes, not at the ends",
        ("np.cumsum(sizes)[:-1]", "sizes[:-1]"),
        words="cut where the arrays end", region=1,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "cat-flip-roll", "backward rolls on",
        ("-np.asarray", "np.asarray"),
        words="the other way", region=8,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "pad", "the crop is forgotten",
        "return (grad[self.inside],)",
        words="gradient 0", region=2,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "tril-clone", "the gradient comes through the zeros",
        "return (grad,)",
        words="through the zeros", region=2,
    ),  # fmt: skip
    # ---- 03_tensor
    Mistake(
        "03_tensor", "tensor-views", "the slice is taken from .data",
        "return Tensor.wrap(self.data[_as_key(key)])",
        words=".data", region=3,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "tensor", "a second gradient replaces the first",
        "self.grad = Tensor.wrap(gradient if fresh else np.array(gradient))",
        words="added", region=4,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "tensor-operations", "1 - x is x - 1",
        "return apply(elementwise.Sub(), self, other)",
        words="order", region=1,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "tensor-operations", "masked_fill inverts the mask",
        "return apply(elementwise.Where(), mask, self, value)",
        words="the mask is inverted", region=6,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "tensor-extremes", "the largest values are taken from .data",
        ("values = self.gather(dim, indices)", "values = Tensor(np.take_along_axis(self.data, indices.data, dim))"),
        words="lost the graph", region=4,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "tensor-views", "repeat repeats each element",
        """
counts = shape_from(counts)
for dim, count in enumerate(counts):
    self = self[(slice(None),) * dim + (np.repeat(np.arange(self.shape[dim]), count),)]
return self
""",
        words="each element was repeated", region=8,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "tensor-views", "a chunk's size is rounded down",
        ("-(-total // chunks)", "total // chunks"),
        words="rounded up", region=10,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "tensor-views", "another dtype loses the graph",
        "return self if self.dtype == np.dtype(dtype) else Tensor.wrap(self.data.astype(dtype))",
        words="Cast", region=12,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "as-array", "a NumPy scalar stays one",
        """
if value is None or isinstance(value, (int, float, np.ndarray, np.generic)):
    return value
return _as_array(value)
""",
        words="Python number", region=1,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "apply", "records under no_grad",
        ("recording and is_tensor", "is_tensor"),
        words="no_grad",
    ),  # fmt: skip
    Mistake(
        "03_tensor", "apply", "every input is a parent",
        ("if needed else None for", "if isinstance(x, Tensor) else None for"),
        words="place among the parents", region=1,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "merged", "writes into an array that others hold",
        """
total += gradient
return total, True
""",
        words="not ours",
    ),  # fmt: skip
    Mistake(
        "03_tensor", "topological-order", "listed before its parents",
        """
order, seen, stack = [], set(), [(root, False)]
while stack:
    node, _ = stack.pop()
    if node not in seen:
        seen.add(node)
        order.insert(0, node)
        stack.extend([(parent, False) for parent in node.parents if isinstance(parent, Function)])
return order
""",
        words="too early",
    ),  # fmt: skip
    Mistake(
        "03_tensor", "run-backward", "the last gradient to arrive replaces the others",
        ("add_gradient(collected[parent], gradient, fresh)", "gradient, fresh"),
        words="they must be added", region=2,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "run-backward", "runs a graph that was freed",
        "order = topological_order(root)",
        words="freed", region=1,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "run-backward", "an array that others hold is taken for fresh",
        ("gradient is not grad and gradient.base is None and gradient.flags.writeable", "True"),
        words="somebody else", region=0,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "creation", "pad begins with the first dim",
        (" = list(zip(pad[::2], pad[1::2]))[::-1]", " = list(zip(pad[::2], pad[1::2]))"),
        words="begins with the last", region=9,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "creation", "stack always makes a new first dim",
        "return cat([t.unsqueeze(0) for t in tensors], 0)",
        words="stacked in dim 0", region=0,
    ),  # fmt: skip

    # ---- 04_modules
    Mistake(
        "04_modules", "linear", "the weight's gradient is transposed",
        (
            "grad.T @ self.rows",
            "self.rows.T @ grad",
        ),
        words="transpose", region=1,
    ),  # fmt: skip
    Mistake(
        "04_modules", "linear", "the bias gets a mean",
        (
            "grad.sum(axis=0)",
            "grad.mean(axis=0)",
        ),
        words="a mean where it should be a sum", region=1,
    ),  # fmt: skip
    Mistake(
        "04_modules", "dropout", "what is kept does not grow",
        (
            "keep.astype(dtype) * (1 / (1 - p) if p < 1 else 0.0)",
            "keep.astype(dtype)",
        ),
        words="1 / (1 - p)",
    ),  # fmt: skip
    Mistake(
        "04_modules", "init", "fan_in and fan_out swapped",
        (
            '{"fan_in": fan_in, "fan_out": fan_out,',
            '{"fan_in": fan_out, "fan_out": fan_in,',
        ),
        words="fan_in and fan_out are swapped", region=2,
    ),  # fmt: skip
    Mistake(
        "04_modules", "module", "writes before everything is checked",
        ("problems = [f", "for name, array in arrays.items():\n    ours[name].data[...] = array\nproblems = [f"),
        words="written before all was checked", region=15,
    ),  # fmt: skip
    Mistake(
        "04_modules", "each-once", "equal numbers taken for the same thing",
        """
seen = []
for name, thing in named:
    if not any(thing.data.shape == other.data.shape and (thing.data == other.data).all() for other in seen):
        seen.append(thing)
        yield name, thing
""",
        words="equal numbers are not yet one parameter", region=1,
    ),  # fmt: skip
    Mistake(
        "04_modules", "module", "the buffers of all modules",
        (
            "self._buffers = self._buffers | {name: persistent}",
            "self._buffers[name] = persistent",
        ),
        words="the dictionary of the class was changed", region=7,
    ),  # fmt: skip
    Mistake(
        "04_modules", "module", "only the children are switched",
        """
self.training = mode
for child in self.children():
    child.training = mode
return self
""",
        words="go through all modules below", region=10,
    ),  # fmt: skip
    Mistake(
        "04_modules", "containers", "each module sees the first input",
        """
for module in self.children():
    out = module(x)
return out
""",
        words="what the one before it returned", region=1,
    ),  # fmt: skip
    Mistake(
        "04_modules", "fill", "a new array instead of new numbers",
        ("tensor.data[...] =", "tensor.data ="),
        words="the array that is there", region=1,
    ),  # fmt: skip
    Mistake(
        "04_modules", "tanh-gelu", "the inner derivative without its factor",
        (
            "1 + 3 * self.cubic",
            "1 + self.cubic",
        ),
        words="the factor 3 is missing", region=1,
    ),  # fmt: skip
    Mistake(
        "04_modules", "erf-gelu", "the product rule has two terms",
        "return (grad * self.below,)",
        words="a term is missing", region=2,
    ),  # fmt: skip
    Mistake(
        "04_modules", "silu", "the slope of the sigmoid",
        (
            "self.sigmoid + self.x * self.sigmoid * (1 - self.sigmoid)",
            "self.sigmoid * (1 - self.sigmoid)",
        ),
        words="that is the slope of the sigmoid", region=1,
    ),  # fmt: skip
    Mistake(
        "04_modules", "silu", "a factor of 2 is missing",
        "return (grad * self.positive,)",
        words="factor of 2", region=3,
    ),  # fmt: skip
    Mistake(
        "04_modules", "softplus", "taken literally",
        """
self.scaled = self.beta * x
return np.log(1 + np.exp(self.scaled)) / self.beta
""",
        words="exp overflows",
    ),  # fmt: skip
    Mistake(
        "04_modules", "activation-functions", "the sign of the input is forgotten",
        ('-softplus(-_floats("logsigmoid", input)', '-softplus(_floats("logsigmoid", input)'),
        words="it is softplus(-x), negated", region=3,
    ),  # fmt: skip
    # ---- 05_losses
    Mistake(
        "05_losses", "cross-entropy", "the truth is added, not subtracted",
        (
            "self.target] -= chosen",
            "self.target] += chosen",
        ),
        words="sign", region=1,
    ),  # fmt: skip
    Mistake(
        "05_losses", "cross-entropy", "the largest logit is not subtracted",
        (
            "x - x.max(axis=1, keepdims=True)",
            "x",
        ),
        words="overflow",
    ),  # fmt: skip
    Mistake(
        "05_losses", "reduce", "a weighted mean over all rows",
        (
            "losses.data.size if weights is None else float(weights.sum())",
            "losses.data.size",
        ),
        words="divide by the sum of the weights",
    ),  # fmt: skip
    Mistake(
        "05_losses", "bce", "the gradient of log p",
        (
            "grad * (p - t) / np.maximum(p * (1 - p), 1e-12)",
            "grad * (p - t)",
        ),
        words="divide by p (1 - p)", region=1,
    ),  # fmt: skip
    Mistake(
        "05_losses", "nll", "ignored rows count in the mean",
        (
            "weights[indices] * counts",
            "weights[indices]",
        ),
        words="an ignored row must not count", region=2,
    ),  # fmt: skip
    Mistake(
        "05_losses", "loss-modules", "label smoothing is forgotten",
        """
return cross_entropy(input, target, self.weight, self.ignore_index, self.reduction)
""",
        words="forgets label_smoothing", region=10,
    ),  # fmt: skip
    Mistake(
        "05_losses", "bce-with-logits", "the sign of the logarithm",
        (
            "- positive * logsigmoid",
            "+ positive * logsigmoid",
        ),
        words="sign",
    ),  # fmt: skip
    Mistake(
        "05_losses", "mse", "no square",
        (
            "(input - target).square()",
            "(input - target)",
        ),
        words="square",
    ),  # fmt: skip
    Mistake(
        "05_losses", "soft-cross-entropy", "the sign is forgotten",
        (
            "-(truth * log_p * weights)",
            "(truth * log_p * weights)",
        ),
        words="sign", region=1,
    ),  # fmt: skip
    # ---- 06_optimizers
    Mistake(
        "06_optimizers", "optimizer", "the data is copied",
        (
            "self.update(arrays, grads",
            "self.update([x.copy() for x in arrays], grads",
        ),
        words="hand over p.data itself", region=4,
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "optimizer", "new moments at every step",
        (
            "zip(states, arrays) if name not in state]",
            "zip(states, arrays)]",
        ),
        words="a moment must live on", region=4,
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "optimizer", "state_dict gives away the moments themselves",
        (
            'np.copy(a) if name != "step" else a for name, a',
            "a for name, a",
        ),
        words="must copy the arrays", region=5,
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "sgd-rule", "uphill",
        (
            "x -= lr * direction",
            "x += lr * direction",
        ),
        words="uphill",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "sgd-rule", "the velocity is a new array",
        (
            "            velocity *= momentum\n",
            "            velocity = velocity * momentum\n",
        ),
        words="in place",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "adam-step", "eps inside the root",
        (
            "(np.sqrt(v_hat) + eps)",
            "np.sqrt(v_hat + eps)",
        ),
        words="eps",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "adam-step", "no correction of the first steps",
        """
m *= betas[0]
m += (1 - betas[0]) * grad
v *= betas[1]
v += (1 - betas[1]) * grad * grad
x -= lr * m / (np.sqrt(v) + eps)
""",
        words="correct",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "adamw-rule", "the decay goes into the gradient",
        (
            "        x *= 1 - lr * weight_decay\n",
            "        grad = grad + weight_decay * x\n",
        ),
        words="decay",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "decay-groups", "frozen parameters are given to the optimizer",
        (
            "[p for p in model.parameters() if p.requires_grad]",
            "list(model.parameters())",
        ),
        words="frozen",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "total-norm", "squares overflow",
        "return math.sqrt(sum(float(np.vdot(a, a)) for a in arrays))",
        words="overflow",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "clip-gradients", "a new array is scaled",
        (
            "p.grad.data *= scale",
            "grad = p.grad.data * scale  # noqa: F841",
        ),
        words="in place",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "warmup-and-cosine", "the first rate is 0",
        "return lambda step: min(1.0, step / max(steps, 1))",
        words="must not be 0",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "lambda-lr", "the last rate is multiplied",
        (
            'group.setdefault("initial_lr", group["lr"]) *',
            'group["lr"] *',
        ),
        words="not of the last", region=4,
    ),  # fmt: skip
    # ---- 07_data
    Mistake(
        "07_data", "random-split", "the parts are not shuffled",
        ("order = as_generator(generator).permutation(total)", "order = np.arange(total)"),
        words="shuffled",
    ),  # fmt: skip
    Mistake(
        "07_data", "random-split", "every part begins at the front",
        ("order[end - size:end]", "order[:size]"),
        words="two parts",
    ),  # fmt: skip
    Mistake(
        "07_data", "random-split", "what rounding down leaves over is lost",
        ("        sizes[i] += 1", "        pass"),
        words="examples are lost",
    ),  # fmt: skip
    Mistake(
        "07_data", "collate", "Tensors are stacked as arrays",
        "return tuple(Tensor(np.stack([getattr(v, 'data', v) for v in column])) for column in zip(*rows))",
        words="gradients are lost", region=1,
    ),  # fmt: skip
    Mistake(
        "07_data", "subset", "a batch of the dataset instead of the subset",
        "return get_batch(self.dataset, indices)",
        words="looks its numbers up", region=3,
    ),  # fmt: skip
    Mistake(
        "07_data", "data-loader", "the smaller last batch is forgotten",
        "return len(self.dataset) // self.batch_size",
        words="last batch", region=1,
    ),  # fmt: skip
    Mistake(
        "07_data", "data-loader", "the loader's own generator is left where it was",
        ('    self.generator.bit_generator.state = saved["generator"]', "    pass"),
        words="the next epoch", region=3,
    ),  # fmt: skip
    Mistake(
        "07_data", "loader-pass", "the same batch again and again",
        ("self.order[start:start + self.loader.batch_size]", "self.order[:self.loader.batch_size]"),
        words="once", region=1,
    ),  # fmt: skip
    Mistake(
        "07_data", "loader-pass", "the state is noted after the order was drawn",
        """
self.order = generator.permutation(len(loader.dataset)) if loader.shuffle else np.arange(len(loader.dataset))
self.began = generator.bit_generator.state
""",
        words="follows from the state",
    ),  # fmt: skip
    # ---- 08_training
    Mistake(
        "08_training", "accumulate-gradients", "every piece counts alike",
        (
            "loss, count = loss_and_count(loss_fn, model, batch)",
            "loss, count = loss_and_count(loss_fn, model, batch)[0], 1",
        ),
        words="weight",
    ),  # fmt: skip
    Mistake(
        "08_training", "accumulate-gradients", "gradients are cleared between the pieces",
        (
            "    set_aside(before, loss)\n",
            "    model.zero_grad()\n    set_aside(before, loss)\n",
        ),
        words="add up",
    ),  # fmt: skip
    Mistake(
        "08_training", "train-step", "old gradients are never cleared",
        (
            "optimizer.zero_grad()",
            "pass",
        ),
        words="clearing",
    ),  # fmt: skip
    Mistake(
        "08_training", "train-step", "the optimizer steps before the norm is looked at",
        """
optimizer.zero_grad()
loss = accumulate_gradients(model, batches, loss_fn)
params = [p for group in optimizer.param_groups for p in group["params"]]
norm = clip_grad_norm_(params, math.inf if max_norm is None else max_norm)
optimizer.step()
return {"loss": loss, "norm": _finite(norm, "norm of the gradients")}
""",
        words="before the optimizer steps",
    ),  # fmt: skip
    Mistake(
        "08_training", "evaluating", "everything is in training mode afterwards",
        """
model.eval()
try:
    with no_grad():
        yield
finally:
    model.train()
""",
        words="its own mode",
    ),  # fmt: skip
    Mistake(
        "08_training", "evaluate", "a mean of means",
        """
total, examples = 0.0, 0
with evaluating(model):
    for batch in map(_as_tuple, loader):
        total += loss_fn(model, *batch).item()
        examples += 1
return _mean(total, examples, "evaluate")
""",
        words="number of examples",
    ),  # fmt: skip
    Mistake(
        "08_training", "accuracy", "padding counts",
        (
            "counted = targets != ignore_index",
            "counted = targets == targets",
        ),
        words="ignore",
    ),  # fmt: skip
    Mistake(
        "08_training", "watched", "a NumPy scalar is recorded as it is",
        (
            "result = np.asarray(result)",
            "pass",
        ),
        words="np.asarray",
    ),  # fmt: skip
    Mistake(
        "08_training", "first-nonfinite", "the last nan instead of the first",
        (
            "for call in path[::-1] if",
            "for call in path if",
        ),
        words="first nan after the origin",
    ),  # fmt: skip
    Mistake(
        "08_training", "write-whole", "written in place",
        """
with open(path, "wb") as file:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
""",
        words="aside",
    ),  # fmt: skip
    Mistake(
        "08_training", "digest", "only the bytes of the arrays",
        (
            'content.update(f"\\n{name} {array.dtype} {array.shape}\\n".encode())',
            "pass",
        ),
        words="does not see",
    ),  # fmt: skip
    Mistake(
        "08_training", "load-checkpoint", "the moments stay in the file",
        (
            "moments[int(i)][moment] = arrays[name]",
            "moments[int(i)][moment] = np.zeros_like(arrays[name])",
        ),
        words="moments of the optimizer were lost", region=2,
    ),  # fmt: skip
    Mistake(
        "08_training", "load-checkpoint", "what was loaded stays, although the rest was refused",
        """
generator.state = state
optimizer.load_state_dict(before)
""",
        words="put it back", region=3,
    ),  # fmt: skip
    Mistake(
        "08_training", "training-loop", "the last batches of an epoch are dropped",
        (
            "if self.dealt and (chosen or self.epoch == self.epochs):",
            "if len(chosen) == self.accumulate or self.epoch == self.epochs:",
        ),
        words="no list spans two epochs", region=1,
    ),  # fmt: skip
    Mistake(
        "08_training", "training-loop", "the rate of the next step",
        (
            "    self.schedule.step()",
            '    self.schedule.step()\n    record["lr"] = self.optimizer.param_groups[0]["lr"]',
        ),
        words="next step", region=4,
    ),  # fmt: skip
    Mistake(
        "08_training", "training-loop", "no evaluation after the last step",
        (
            " and (self.step % self.evaluate_every == 0 or self.step == self.total):",
            " and self.step % self.evaluate_every == 0:",
        ),
        words="after the last", region=4,
    ),  # fmt: skip
    Mistake(
        "08_training", "training-loop", "one evaluation too patient",
        (
            "self.stale >= self.patience",
            "self.stale > self.patience",
        ),
        words=">=", region=5,
    ),  # fmt: skip
    Mistake(
        "08_training", "trainer-files", "the history is ahead of the checkpoint",
        (
            ' if record["step"] <= self.step',
            "",
        ),
        words="after the checkpoint", region=2,
    ),  # fmt: skip
    # ---- 09_tokenizers
    Mistake(
        "09_tokenizers", "merge-pair", "elements are used twice",
        """
out = []
for i, token in enumerate(ids):
    if i + 1 < len(ids) and (token, ids[i + 1]) == tuple(pair):
        out.append(merged)
    elif not (i and (ids[i - 1], token) == tuple(pair)):
        out.append(token)
return out
""",
        words="twice",
    ),  # fmt: skip
    Mistake(
        "09_tokenizers", "word-tokenizer", "the rarest first",
        ("(-counts[word], word)", "(counts[word], word)"),
        words="most frequent first",
    ),  # fmt: skip
    Mistake(
        "09_tokenizers", "word-tokenizer", "a space between any two tokens",
        'return " ".join(self.tokens_of(ids))',
        words="a mark that closes", region=2,
    ),  # fmt: skip
    Mistake(
        "09_tokenizers", "split-special", "the shorter name is found first",
        ("sorted(map(re.escape, special_tokens), key=len, reverse=True)", "list(map(re.escape, special_tokens))"),
        words="the longer name wins",
    ),  # fmt: skip
    Mistake(
        "09_tokenizers", "tokenizer", "each text of a stream is encoded by itself",
        """
for text in texts:
    yield from self.encode(text)
""",
        words="has to wait for the next text", region=4,
    ),  # fmt: skip
    Mistake(
        "09_tokenizers", "bpe-training", "old pairs stay counted",
        ("        counts[other] -= weights[p]", "        pass"),
        words="old pairs", region=2,
    ),  # fmt: skip
    Mistake(
        "09_tokenizers", "bpe-training", "pieces count once, however often they occur",
        ("counts[other] += weights[p]", "counts[other] += 1"),
        words="weight", region=2,
    ),  # fmt: skip
    Mistake(
        "09_tokenizers", "bpe-training", "where new pairs are is not noted",
        ("        where[other].add(p)", "        pass"),
        words="note in `where`", region=2,
    ),  # fmt: skip
    Mistake(
        "09_tokenizers", "merge-by-rank", "pairs with the token before are forgotten",
        ("((before[i], i), (i, after[i]))", "((i, after[i]),)"),
        words="the one before it",
    ),  # fmt: skip
    # ---- 10_embeddings
    Mistake(
        "10_embeddings", "scatter-add", "assignment instead of addition",
        (
            "np.add.at(table, indices, rows)",
            "table[indices] = rows",
        ),
        words="scatter-add",
    ),  # fmt: skip
    Mistake(
        "10_embeddings", "embedding-halves", "padding_idx 0 is taken for None",
        (
            "if self.padding_idx is not None:",
            "if self.padding_idx:",
        ),
        words="padding_idx", region=2,
    ),  # fmt: skip
    Mistake(
        "10_embeddings", "embedding-module", "padding_idx is not counted from the front",
        "return apply(EmbeddingFunction(None if padding_idx == -1 else padding_idx), indices, weight)",
        words="-1 is the last row",
    ),  # fmt: skip
    Mistake(
        "10_embeddings", "learned-places", "through .data",
        (
            "return self.weight[offset:offset + length]",
            "return Tensor(self.weight.data[offset:offset + length])",
        ),
        words=".data", region=1,
    ),  # fmt: skip
    Mistake(
        "10_embeddings", "sinusoidal-angles", "the speeds grow",
        (
            "base ** (-pairs / dim)",
            "base ** (pairs / dim)",
        ),
        words="the speeds shrink",
    ),  # fmt: skip
    Mistake(
        "10_embeddings", "sinusoidal-angles", "sines first, then cosines",
        """
angles = position_angles(max_len, dim)
return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)[:, :dim]
""",
        words="even columns", region=1,
    ),  # fmt: skip
    Mistake(
        "10_embeddings", "rotary-halves", "the gradient is turned on, not back",
        "return (rotate(grad, self.cos, self.sin),)",
        words="turned back", region=3,
    ),  # fmt: skip
    Mistake(
        "10_embeddings", "rotary-module", "no minus in the table of sines",
        (
            "[-np.sin(angles), np",
            "[np.sin(angles), np",
        ),
        words="have a minus",
    ),  # fmt: skip
    Mistake(
        "10_embeddings", "rotary-module", "the offset is ignored",
        (
            "places = slice(offset, offset + length)",
            "places = slice(length)",
        ),
        words="the offset is ignored", region=2,
    ),  # fmt: skip
    # ---- 11_attention
    Mistake(
        "11_attention", "causal-mask-of-the-last", "inverted",
        ("np.tril(np.ones((T, S), bool), S - T)", "np.triu(np.ones((T, S), bool), S - T)"),
        words="the mask is inverted",
    ),  # fmt: skip
    Mistake(
        "11_attention", "causal-mask-of-the-last", "queries counted from the front",
        ("np.tril(np.ones((T, S), bool), S - T)", "np.tril(np.ones((T, S), bool))"),
        words="the last two of three",
    ),  # fmt: skip
    Mistake(
        "11_attention", "mask-scores", "True hides",
        ("np.where(mask, scores, -np.inf)", "np.where(mask, -np.inf, scores)"),
        words="the mask is inverted",
    ),  # fmt: skip
    Mistake(
        "11_attention", "masked-softmax", "0 / 0 where everything is masked",
        ("np.maximum(shares.sum(axis=-1, keepdims=True), 1)", "shares.sum(axis=-1, keepdims=True)"),
        words="nothing",
    ),  # fmt: skip
    Mistake(
        "11_attention", "attention-operation", "the average is not subtracted",
        ("(dweights - (dweights * self.weights).sum(axis=-1, keepdims=True))", "dweights"),
        words="the average of the gradients must be subtracted", region=1,
    ),  # fmt: skip
    Mistake(
        "11_attention", "attention-operation", "keys without the scale",
        ("dkey = dscores.swapaxes(-1, -2) @ query * self.scale", "dkey = dscores.swapaxes(-1, -2) @ query"),
        words="the scale is missing", region=1,
    ),  # fmt: skip
    Mistake(
        "11_attention", "split-and-merge-heads", "reshaped at once",
        "return x.reshape(*x.shape[:-2], num_heads, x.shape[-2], -1)",
        words="side by side",
    ),  # fmt: skip
    # ---- 12_normalization
    Mistake(
        "12_normalization", "layer-norm-halves", "eps outside the root",
        (
            "np.sqrt(variance + self.eps)",
            "(np.sqrt(variance) + self.eps)",
        ),
        words="eps",
    ),  # fmt: skip
    Mistake(
        "12_normalization", "layer-norm-halves", "the mean of large numbers",
        (
            "centered = x - x.min(self.axes, keepdims=True, initial=np.inf)",
            "centered = x + 0",
        ),
        words="before the mean",
    ),  # fmt: skip
    Mistake(
        "12_normalization", "layer-norm-halves", "the mean is a constant to backward",
        (
            "dx = dxhat - dxhat.mean(self.axes, keepdims=True)",
            "dx = dxhat.copy()",
        ),
        words="the mean depends on x", region=1,
    ),  # fmt: skip
    Mistake(
        "12_normalization", "layer-norm-halves", "the weight's gradient is a mean",
        (
            "unbroadcast(grad * self.xhat, self.weight.shape)",
            "(grad * self.xhat).mean(tuple(range(grad.ndim - self.dims)))",
        ),
        words="a sum over rows, not a mean", region=1,
    ),  # fmt: skip
    Mistake(
        "12_normalization", "layer-norm-module", "a bias without elementwise_affine",
        (
            "elementwise_affine and bias",
            "bias",
        ),
        words="without elementwise_affine", region=1,
    ),  # fmt: skip
    Mistake(
        "12_normalization", "rms-norm-halves", "the mean is removed",
        (
            "mean_square = ",
            "x = x - x.mean(self.axes, keepdims=True)\nmean_square = ",
        ),
        words="mean",
    ),  # fmt: skip
    Mistake(
        "12_normalization", "rms-norm-module", "the eps of float32",
        (
            "np.finfo(x.dtype).eps",
            "np.finfo(np.float32).eps",
        ),
        words="machine epsilon of x's dtype",
    ),  # fmt: skip
    Mistake(
        "12_normalization", "normalize-length", "the root has no slope at 0",
        """
length = (x.abs() ** p).sum(dim, keepdim=True) ** (1 / p)
return x / length.clamp(min=eps)
""",
        words="zeros",
    ),  # fmt: skip
    # ---- 13_transformer
    Mistake(
        "13_transformer", "mlp-layers", "the wrong half is activated",
        ("self.activate(self.gate(x)) * self.fc1(x)", "self.gate(x) * self.activate(self.fc1(x))"),
        words="gate", region=1,
    ),  # fmt: skip
    Mistake(
        "13_transformer", "block-of-parts", "no residual path",
        ("return x + self.mlp(self.norm2(x))", "return self.mlp(self.norm2(x))"),
        words="residual", region=2,
    ),  # fmt: skip
    Mistake(
        "13_transformer", "init-weights", "as loud as all others",
        ("std=std / math.sqrt(2 * num_layers) if residual else std", "std=std"),
        words="as loud as all others",
    ),  # fmt: skip
    Mistake(
        "13_transformer", "gpt-model", "looks ahead",
        ("is_causal=True, cache=cache", "cache=cache"),
        words="is_causal", region=2,
    ),  # fmt: skip
    Mistake(
        "13_transformer", "gpt-model", "positions are not added",
        "return self.dropout(self.token_embedding(ids) * self.token_scale)",
        words="position", region=1,
    ),  # fmt: skip
    # ---- 14_generation
    Mistake(
        "14_generation", "softmax-with-temperature", "times the temperature",
        ("/ temperature)", "* temperature)"),
        words="temperature",
    ),  # fmt: skip
    Mistake(
        "14_generation", "cut-the-tail", "the token that crosses p is cut",
        ("before = shares.cumsum(axis=-1) - shares", "before = shares.cumsum(axis=-1)"),
        words="the token that crosses p", region=1,
    ),  # fmt: skip
    Mistake(
        "14_generation", "repetition-penalty", "negative logits grow",
        ("np.where(logits > 0, logits / penalty, logits * penalty)", "logits / penalty"),
        words="negative",
    ),  # fmt: skip
    Mistake(
        "14_generation", "layer-cache", "always written to the front",
        ("self.keys[..., self.length:end, :] = key", "self.keys[..., :key.shape[-2], :] = key"),
        words="behind", region=1,
    ),  # fmt: skip
    Mistake(
        "14_generation", "next-logits", "the cache is never reset",
        ("cache.reset()", "pass"),
        words="reset",
    ),  # fmt: skip
    Mistake(
        "14_generation", "generate-loop", "a text that has stopped goes on",
        ("np.where(stopped, ids[:, end - 1], chosen)", "chosen"),
        words="has stopped", region=1,
    ),  # fmt: skip
    # ---- 15_diagnosis
    Mistake(
        "15_diagnosis", "surprise", "large logits overflow",
        """
log_z = np.log(np.exp(logits).sum(axis=1))
return float((log_z - logits[np.arange(len(logits)), targets]).mean())
""",
        words="exp overflows",
    ),  # fmt: skip
    Mistake(
        "15_diagnosis", "leaves", "a leaf that is used twice is listed twice",
        "return [p for op in topological_order(loss.grad_fn) for p in op.parents if isinstance(p, Tensor)]",
        words="each leaf once",
    ),  # fmt: skip
    Mistake(
        "15_diagnosis", "agreement", "padding counts",
        ("    counted = ours >= 0", "    counted = ours == ours"),
        words="negative targets do not count",
    ),  # fmt: skip
    Mistake(
        "15_diagnosis", "measured-slope", "nudged one way only",
        ("p.data = data - nudge", "p.data = data"),
        words="nudge both ways",
    ),  # fmt: skip
    # ---- 16_convolution
    Mistake(
        "16_convolution", "conv-output-size", "the kernel is not spread",
        ("dilation * (kernel - 1) - 1", "dilation * kernel"),
        words="it covers d (k - 1) + 1 places",
    ),  # fmt: skip
    Mistake(
        "16_convolution", "conv-offsets", "stride and dilation swapped",
        ("slice(i * d, i * d + (count - 1) * step + 1, step)", "slice(i * step, i * step + (count - 1) * d + 1, d)"),
        words="stride and dilation are swapped",
    ),  # fmt: skip
    Mistake(
        "16_convolution", "conv-function", "assigned where windows overlap",
        ("dx[seen] += ", "dx[seen] = "),
        words="assigned", region=1,
    ),  # fmt: skip
    Mistake(
        "16_convolution", "batch-norm-running", "momentum is what stays",
        "running.data += (1 - momentum) * (now - running.data)",
        words="momentum is the share that the batch gets",
    ),  # fmt: skip
    # ---- 17_profiling
    Mistake(
        "17_profiling", "stopwatch", "assignment instead of addition",
        (
            "self.seconds[label(half)] +=",
            "self.seconds[label(half)] =",
        ),
        words="added up",
    ),  # fmt: skip
    Mistake(
        "17_profiling", "stopwatch", "nothing is returned",
        (
            "return result",
            "return None",
        ),
        words="return",
    ),  # fmt: skip
    Mistake(
        "17_profiling", "leaks", "victims are blamed as well",
        (
            "if np.float64 in after and np.float64 not in before:",
            "if np.float64 in after:",
        ),
        words="victim",
    ),  # fmt: skip
    # ---- 18_compiled_kernels
    Mistake(
        "18_compiled_kernels", "compiled-gelu", "a factor of 2 in the exponent",
        ("exp(f4(-2) * u)", "exp(f4(-1) * u)"),
        words="sigmoid of 2 u",
    ),  # fmt: skip
    Mistake(
        "18_compiled_kernels", "compiled-norm-backward", "the last row replaces the others",
        ("some_weight[d] += grad", "some_weight[d] = grad"),
        words="assigned where it should be added",
    ),  # fmt: skip
    Mistake(
        "18_compiled_kernels", "compiled-norm-backward", "RMSNorm is centered, too",
        ("mean / f4(width) if centered else f4(0)", "mean / f4(width)"),
        words="RMSNorm subtracts no mean",
    ),  # fmt: skip
    # ---- 19_pretrained
    Mistake(
        "19_pretrained", "share-heads", "heads of a group are not neighbours",
        ("np.arange(num_heads) // size", "np.arange(num_heads) % groups"),
        words="neighbours belong to a group",
    ),  # fmt: skip
    Mistake(
        "19_pretrained", "share-heads", "three equal parts",
        "return packed.chunk(3, dim)",
        words="thirds, as if", region=1,
    ),  # fmt: skip
    Mistake(
        "19_pretrained", "gpt2-weights", "the square one is not transposed",
        ('transposed=".c_" in theirs)', 'transposed=".c_" in theirs and theirs[-11:] != "attn.c_proj")'),
        words="square, and transposed all the same",
    ),  # fmt: skip
    Mistake(
        "19_pretrained", "gpt2-weights", "a tied head is looked for",
        ("if not config.tied_head:", "if True:"),
        words="a tied head has no array of its own",
    ),  # fmt: skip
    Mistake(
        "19_pretrained", "place-of", "a copy",
        ("array[weight.rows]", "array[weight.rows].copy()"),
        words="must return a view",
    ),  # fmt: skip
    Mistake(
        "19_pretrained", "place-of", "transposed, then rows",
        """
view = array.T if weight.transposed else array
return view[weight.rows]
""",
        words="rows are those of the parameter",
    ),  # fmt: skip
    Mistake(
        "19_pretrained", "place-of", "as many heads of keys as of queries",
        ("config.d_model // group_size(config.num_heads, config.num_kv_heads)", "config.d_model"),
        words="two heads of keys have 2 * 4 rows", region=1,
    ),  # fmt: skip
    Mistake(
        "19_pretrained", "rotary-halves", "across the heads",
        ("num_heads, len(weight) // num_heads // 2, 2, -1", "1, len(weight) // 2, 2, -1"),
        words="across the heads, not inside of each",
    ),  # fmt: skip
    Mistake(
        "19_pretrained", "rotary-halves", "the inverse is the same",
        "return halves_of(weight, num_heads)",
        words="the same order again, not the inverse", region=1,
    ),  # fmt: skip
    # ---- 20_finetuning
    Mistake(
        "20_finetuning", "lora-linear", "both factors begin at random",
        ("zeros_(self.lora_B)", "normal_(self.lora_B)"),
        words="lora_B must begin at 0",
    ),  # fmt: skip
    Mistake(
        "20_finetuning", "lora-linear", "the scale is forgotten",
        (" * self.scale", ""),
        words="the scale alpha / rank is missing", region=1,
    ),  # fmt: skip
    Mistake(
        "20_finetuning", "lora-linear", "merged, the adapter acts twice",
        "return self.base(input) + linear(linear(input, self.lora_A), self.lora_B) * self.scale",
        words="the adapter acts twice", region=2,
    ),  # fmt: skip
    Mistake(
        "20_finetuning", "lora-linear", "unmerging adds",
        ("sign * self.delta()", "self.delta()"),
        words="added again, not taken off", region=3,
    ),  # fmt: skip
    Mistake(
        "20_finetuning", "add-lora", "only the adapted layers are frozen",
        ("model.requires_grad_(False)", "pass"),
        words="not adapted must be frozen",
    ),  # fmt: skip
    Mistake(
        "20_finetuning", "add-lora", "frozen at the end, adapters and all",
        """
for parent, name, layer in found:
    setattr(parent, name, LoRALinear(layer, rank, alpha))
return model.requires_grad_(False)
""",
        words="the adapters must be learned",
    ),  # fmt: skip
    Mistake(
        "20_finetuning", "lora-state", "not copied",
        (".data.copy()", ".data"),
        words="a state dict holds copies", region=1,
    ),  # fmt: skip
    Mistake(
        "20_finetuning", "merge-lora", "the layers are put back unmerged",
        ("adapter.merge()", "pass"),
        words="what was not merged before is not merged",
    ),  # fmt: skip
    # ---- 21_counting
    Mistake(
        "21_counting", "matmul-flops", "multiplications only",
        ("return 2 * math", "return math"),
        words="an addition for each multiplication is missing",
    ),  # fmt: skip
    Mistake(
        "21_counting", "matmul-flops", "the stack is not counted",
        """
rows, columns = math.prod(x[-2:-1]), y[-1] if len(y) > 1 else 1
return 2 * rows * x[-1] * columns
""",
        words="the stack is not counted",
    ),  # fmt: skip
    Mistake(
        "21_counting", "matmul-flops", "a vector on the right",
        ("y[-1] if len(y) > 1 else 1", "y[-1]"),
        words="a vector on the right is one column",
    ),  # fmt: skip
    Mistake(
        "21_counting", "ufunc-flops", "sums as long as their inputs",
        ("max(np.size(inputs[0]) - np.size(result), 0)", "np.size(inputs[0])"),
        words="n - 1 additions",
    ),  # fmt: skip
    Mistake(
        "21_counting", "ufunc-flops", "comparisons count",
        ('if np.asarray(result).dtype.kind != "f"', 'if np.asarray(result).dtype.kind not in "fb"'),
        words="booleans are no arithmetic",
    ),  # fmt: skip
    Mistake(
        "21_counting", "traffic", "what was saved is not read",
        ('saved_arrays(half.__self__) if half.__name__ == "backward" else ()', ""),
        words="what forward saved is not read",
    ),  # fmt: skip
    Mistake(
        "21_counting", "traffic", "an input that comes twice",
        ("sum({address(x): x.nbytes for x in read + written}.values())", "sum(x.nbytes for x in read + written)"),
        words="x is fetched once",
    ),  # fmt: skip
    Mistake(
        "21_counting", "traffic", "views move bytes",
        (" if written else 0", ""),
        words="a view moves nothing",
    ),  # fmt: skip
    Mistake(
        "21_counting", "tally", "all FLOPs so far",
        ("self.flops - before", "self.flops"),
        words="all FLOPs so far, not those of this half",
    ),  # fmt: skip
    Mistake(
        "21_counting", "tally", "the last call only",
        ("Cost(*map(sum, zip(row, new)))", "Cost(*new)"),
        words="add to the row that is there",
    ),  # fmt: skip
    Mistake(
        "21_counting", "tally", "results stay counted",
        ("result = tuple(map(uncounted, result)) if isinstance(result, tuple) else uncounted(result)", "pass"),
        words="as plain arrays",
    ),  # fmt: skip
    Mistake(
        "21_counting", "training-flops", "forward only",
        ("6 * weights + 12 *", "2 * weights + 4 *"),
        words="that is forward only",
    ),  # fmt: skip
    Mistake(
        "21_counting", "attainable", "the larger limit",
        ("np.minimum", "np.maximum"),
        words="the larger one",
    ),  # fmt: skip
    Mistake(
        "21_counting", "utilisation", "times the seconds",
        ("flops / seconds", "flops * seconds"),
        words="times the seconds",
    ),  # fmt: skip
    # ---- 22_quantization
    Mistake(
        "22_quantization", "find-scales", "one scale for the whole matrix",
        """
largest = abs(weight).max() * np.ones((rows, columns // group, 1))
return np.where(largest == 0, 1, largest / largest_integer(bits)).astype(weight.dtype)
""",
        words="one scale for the whole matrix",
    ),  # fmt: skip
    Mistake(
        "22_quantization", "find-scales", "a group of zeros has the scale 0",
        ("np.where(largest == 0, 1, largest / largest_integer(bits))", "(largest / largest_integer(bits))"),
        words="a group of zeros needs the scale 1",
    ),  # fmt: skip
    Mistake(
        "22_quantization", "to-integers", "cut off, not rounded",
        ("np.rint(grouped / scales)", "np.trunc(grouped / scales)"),
        words="cut off, not rounded",
    ),  # fmt: skip
    Mistake(
        "22_quantization", "to-integers", "not clipped",
        ("np.clip(np.rint(grouped / scales), -end, end)", "np.rint(grouped / scales)"),
        words="not clipped to -7 .. 7",
    ),  # fmt: skip
    Mistake(
        "22_quantization", "pack", "neighbours share a byte",
        """
both = (integers + 8).astype(np.uint8)
return both[:, ::2] + 16 * both[:, 1::2]
""",
        words="neighbours share a byte",
    ),  # fmt: skip
    Mistake(
        "22_quantization", "pack", "8 is not subtracted",
        (" - np.int8(8)", ""),
        words="8 is not subtracted", region=1,
    ),  # fmt: skip
    Mistake(
        "22_quantization", "integer-linear", "one scale for all vectors",
        ("abs(x).max(axis=-1, keepdims=True)", "abs(x).max(keepdims=True)"),
        words="one scale for all vectors",
    ),  # fmt: skip
    Mistake(
        "22_quantization", "integer-linear", "the weight's scale is forgotten",
        (" * scales.reshape(-1)", ""),
        words="the weight's scale is missing",
    ),  # fmt: skip
    Mistake(
        "22_quantization", "quantize", "the input scales are forgotten",
        ("inputs[path] if isinstance(inputs, dict) else None", "None"),
        words="input scale stands under its path",
    ),  # fmt: skip
    Mistake(
        "22_quantization", "quantize", "replaced one by one",
        """
for path, parent, name, layer in found:
    scale = inputs[path] if isinstance(inputs, dict) else None
    setattr(parent, name, QuantizedLinear(layer, bits, group, inputs is not None, scale))
return model
""",
        words="make all new layers first",
    ),  # fmt: skip
    Mistake(
        "22_quantization", "fake-quantize", "the gradient passes where it was clipped",
        "return (grad,)",
        words="what was clipped gets no gradient", region=1,
    ),  # fmt: skip
    Mistake(
        "22_quantization", "fake-quantize", "compared before rounding",
        ("abs(np.rint(grouped / self.scales))", "abs(grouped / self.scales)"),
        words="3.6 / 0.5 rounds to 7",
    ),  # fmt: skip
    # ---- 23_distillation
    Mistake(
        "23_distillation", "magnitude-mask", "what goes is True",
        ("return mask", "return ~mask"),
        words="what is kept, not what goes",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "magnitude-mask", "the sign counts",
        ("np.argsort(abs(weight)", "np.argsort(weight"),
        words="without the sign",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "magnitude-mask", "a threshold",
        "return abs(np.asarray(weight)) > np.quantile(abs(np.asarray(weight)), amount)",
        words="a threshold prunes all equal ones",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "apply-masks", "what is kept becomes 0",
        ("~np.asarray(mask)", "np.asarray(mask)"),
        words="the mask says what is kept",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "apply-masks", "a new array",
        """
for path, mask in masks.items():
    parameter = dict(model.named_parameters())[path]
    parameter.data = parameter.data * mask
""",
        words="an optimizer may hold the array",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "structured-mask", "single weights",
        "return magnitude_mask(weight, amount)",
        words="single weights, not slices",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "structured-mask", "n is not looked at",
        ("abs(slices) ** n", "abs(slices) ** 2"),
        words="n is not looked at",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "sliced", "the order is lost",
        ("np.asarray(rows)", "np.sort(rows)"),
        words="the order is kept",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "sliced", "the first biases",
        ("layer.bias.data[rows]", "layer.bias.data[:len(rows)]"),
        words="the bias belongs to the rows",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "keep-hidden", "the gate is forgotten",
        ("if mlp.gate is not None", "if False"),
        words="the gate loses its rows, too",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "distillation-loss", "without T^2",
        (" * temperature ** 2", ""),
        words="the factor T^2 is missing",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "distillation-loss", "turned round",
        ("log_p.exp() * (log_p - log_q)", "log_q.exp() * (log_q - log_p)"),
        words="q and p have changed places",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "distillation-loss", "the cross entropy",
        ("(log_p - log_q)", "(-log_q)"),
        words="log p is missing",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "distillation-loss", "a sum over rows",
        (".sum(-1).mean()", ".sum()"),
        words="a sum over the rows",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "distillation", "the shares have changed places",
        ("loss * self.share + F.cross_entropy(rows, targets.flatten()) * (1 - self.share)",
         "loss * (1 - self.share) + F.cross_entropy(rows, targets.flatten()) * self.share"),
        words="the shares have changed places",
    ),  # fmt: skip
    Mistake(
        "23_distillation", "distillation", "the teacher with dropout",
        ("with evaluating(self.teacher):", "if True:"),
        words="in eval mode",
    ),  # fmt: skip
    # ---- 24_speculative
    Mistake(
        "24_speculative", "leftover", "not divided by the sum",
        "return np.maximum(p - q, 0)",
        words="not divided by the sum",
    ),  # fmt: skip
    Mistake(
        "24_speculative", "leftover", "nothing is left",
        """
left = np.maximum(p - q, 0)
return left / left.sum()
""",
        words="where nothing is left, return p",
    ),  # fmt: skip
    Mistake(
        "24_speculative", "accept", "drawn from p after a refusal",
        ("leftover(p[i], q[i])[None]", "p[i][None]"),
        words="drawn from p itself",
    ),  # fmt: skip
    Mistake(
        "24_speculative", "accept", "what the target never says may be kept",
        ("if not generator.random() * q[i, guess] < p[i, guess]", "if generator.random() * q[i, guess] > p[i, guess]"),
        words="must not be kept, not even for u = 0",
    ),  # fmt: skip
    Mistake(
        "24_speculative", "accept", "guesses behind a refused one are looked at",
        """
tokens = []
for i, guess in enumerate(guesses):
    kept = generator.random() * q[i, guess] < p[i, guess]
    tokens.append(int(guess) if kept else int(draw(leftover(p[i], q[i])[None], generator)[0]))
return [*tokens, int(draw(p[len(guesses)][None], generator)[0])]
""",
        words="behind a refused guess must go",
    ),  # fmt: skip
    Mistake(
        "24_speculative", "speculate", "the caches keep what was refused",
        ("reader.keep(len(ids) + len(tokens) - 1)", "reader.keep(len(ids) + lookahead)"),
        words="refused guesses must leave both caches",
    ),  # fmt: skip
    # ---- 25_checkpointing
    Mistake(
        "25_checkpointing", "leaves-behind", "each use is a leaf",
        ("dict.fromkeys(found)", "found"),
        words="each leaf once",
    ),  # fmt: skip
    Mistake(
        "25_checkpointing", "leaves-behind", "a leaf itself",
        ("found = [out] if out.requires_grad and out.grad_fn is None else []", "found = []"),
        words="a leaf is behind itself",
    ),  # fmt: skip
    Mistake(
        "25_checkpointing", "leaves-behind", "what was given beside",
        (" if not any(leaf is x for x in beside)", ""),
        words="what is given beside must be left out",
    ),  # fmt: skip
    Mistake(
        "25_checkpointing", "checkpoint-backward", "a gradient of ones",
        ("out.backward(grad)", "out.backward(np.ones_like(out.data))"),
        words="the gradient of the result is forgotten",
    ),  # fmt: skip
    Mistake(
        "25_checkpointing", "checkpoint-backward", "no zeros",
        ("np.zeros_like(x.data) if x.grad is None", "None if x.grad is None"),
        words="a leaf that got no gradient has zeros",
    ),  # fmt: skip
    Mistake(
        "25_checkpointing", "checkpoint", "parameters are no inputs",
        ("*tensors, *leaves)", "*tensors)"),
        words="expected a tuple of",
    ),  # fmt: skip
    Mistake(
        "25_checkpointing", "checkpoint", "only inputs that want a gradient count",
        ("if leaves or any", "if any"),
        words="what the block reads does",
    ),  # fmt: skip
    Mistake(
        "25_checkpointing", "checkpoint", "just a call",
        "return block(*inputs)",
        words="one operation in the graph",
    ),  # fmt: skip
    Mistake(
        "25_checkpointing", "best-segment", "the most memory",
        ("min(range", "max(range"),
        words="the most memory",
    ),  # fmt: skip
    # ---- 26_scaling
    Mistake(
        "26_scaling", "tokens-for", "the head is forgotten",
        (" + width * vocabulary", ""),
        words="the head is forgotten",
    ),  # fmt: skip
    Mistake(
        "26_scaling", "tokens-for", "rounded up",
        ("int(flops // training", "1 + int(flops // training"),
        words="rounded up", region=1,
    ),  # fmt: skip
    Mistake(
        "26_scaling", "minimum", "the logarithm",
        ("float(np.exp(-b / (2 * a)))", "float(-b / (2 * a))"),
        words="the logarithm of the size",
    ),  # fmt: skip
    Mistake(
        "26_scaling", "minimum", "over sizes",
        ("places = np.log(sizes)", "places = np.array(sizes, float)"),
        words="expected",
    ),  # fmt: skip
    Mistake(
        "26_scaling", "minimum", "whatever lies outside",
        (" or not places.min() <= -b / (2 * a) <= places.max()", ""),
        words="below the smallest size",
    ),  # fmt: skip
    Mistake(
        "26_scaling", "power-law", "k is a logarithm",
        ("float(np.exp(height))", "float(height)"),
        words="its logarithm",
    ),  # fmt: skip
    Mistake(
        "26_scaling", "power-law", "the other way round",
        ("np.log(x), np.log(y), 1", "np.log(y), np.log(x), 1"),
        words="x and y have changed places",
    ),  # fmt: skip
    Mistake(
        "26_scaling", "fit", "as the trials come",
        ("sorted({trial.flops for trial in trials})", "dict.fromkeys(trial.flops for trial in trials)"),
        words="in ascending order",
    ),  # fmt: skip
    Mistake(
        "26_scaling", "resampled", "from all budgets",
        """
while True:
    drawn = [trials[i] for i in generator.integers(len(trials), size=len(trials))]
    if all(len({t.size for t in drawn if t.flops == c}) >= 3 for c in {t.flops for t in trials}):
        return drawn
""",
        words="as many for each budget as it has",
    ),  # fmt: skip
    Mistake(
        "26_scaling", "resampled", "without replacement",
        ("generator.integers(len(group), size=len(group))", "generator.permutation(len(group))"),
        words="with replacement",
    ),  # fmt: skip
    # ---- 27_inside
    Mistake(
        "27_inside", "activations", "the loop's last name",
        ("lambda m, i, out, name=name: kept", "lambda m, i, out: kept"),
        words="a loop's name is the last one's",
    ),  # fmt: skip
    Mistake(
        "27_inside", "activations", "what came in",
        ("{name: out}", "{name: i[0]}"),
        words="what came in",
    ),  # fmt: skip
    Mistake(
        "27_inside", "activations", "hooks that stay",
        ("handle.remove()", "pass"),
        words="the hooks are still there",
    ),  # fmt: skip
    Mistake(
        "27_inside", "logit-lens", "no norm",
        ("model.norm(stream)", "stream"),
        words="norm is forgotten",
    ),  # fmt: skip
    Mistake(
        "27_inside", "without-head", "zeros",
        ("x[..., part].mean(axis=(0, 1))", "0"),
        words="zeros, not the mean",
    ),  # fmt: skip
    Mistake(
        "27_inside", "without-head", "the other head",
        ("slice(head * attention.head_dim, (head + 1) * attention.head_dim)",
         "slice((1 - head) * attention.head_dim, (2 - head) * attention.head_dim)"),
        words="the other head",
    ),  # fmt: skip
    Mistake(
        "27_inside", "patched", "all places",
        ("x[:, places] = value.data[:, places]", "x[:] = value.data"),
        words="all places",
    ),  # fmt: skip
    Mistake(
        "27_inside", "looks-back", "over all places",
        (".mean(axis=(0, 2))", ".sum(axis=(0, 2)) / weights.shape[0] / weights.shape[2]"),
        words="over all places",
    ),  # fmt: skip
    # ---- 28_distributed
    Mistake(
        "28_distributed", "ring-all-reduce", "only added up",
        """
rank, size = group.rank, group.size
parts = np.array_split(array, size)
for step in range(size - 1):
    message = group.isend(parts[(rank - step) % size], (rank + 1) % size)
    arrived = np.empty_like(parts[(rank - step - 1) % size])
    group.recv(arrived, (rank - 1) % size)
    message.wait()
    parts[(rank - step - 1) % size] += arrived
""",
        words="only added up",
    ),  # fmt: skip
    Mistake(
        "28_distributed", "ring-all-reduce", "what arrives takes the part's place",
        ("parts[(rank - step - 1) % size] += arrived", "parts[(rank - step - 1) % size][...] = arrived"),
        words="add it",
    ),  # fmt: skip
    Mistake(
        "28_distributed", "ring-all-reduce", "whole arrays to everybody",
        """
own, others = array.copy(), [rank for rank in range(group.size) if rank != group.rank]
messages = [group.isend(own, other) for other in others]
for other in others:
    arrived = np.empty_like(array)
    group.recv(arrived, other)
    array += arrived
for message in messages:
    message.wait()
""",
        words="parts of 1/n",
    ),  # fmt: skip
    Mistake(
        "28_distributed", "buckets-of", "from the first to the last",
        ("for i in reversed(range(len(arrays))):", "for i in range(len(arrays)):"),
        words="backward finishes the last layers first",
    ),  # fmt: skip
    Mistake(
        "28_distributed", "buckets-of", "looks at the bucket before, not at the one after",
        ("held + arrays[i].nbytes > most_bytes", "held > most_bytes"),
        words="count the array that comes",
    ),  # fmt: skip
    Mistake(
        "28_distributed", "buckets-of", "dtypes are mixed",
        ("arrays[buckets[-1][-1]].dtype == arrays[i].dtype", "True"),
        words="another dtype begins another bucket",
    ),  # fmt: skip
    Mistake(
        "28_distributed", "owners-of", "in turn",
        "return [i % ranks for i in range(len(sizes))]",
        words="in turn, whatever their size",
    ),  # fmt: skip
    Mistake(
        "28_distributed", "owners-of", "not the largest first",
        ("sorted(range(len(sizes)), key=lambda i: -sizes[i])", "range(len(sizes))"),
        words="the largest must come first",
    ),  # fmt: skip
    Mistake(
        "28_distributed", "tensor-parallel", "forward adds up what all have",
        "return summed(x)",
        words="all ranks have the same x", region=0,
    ),  # fmt: skip
    Mistake(
        "28_distributed", "tensor-parallel", "no rank sees the others' gradients",
        "return (grad,)",
        words="only its own part of the gradient", region=1,
    ),  # fmt: skip
    Mistake(
        "28_distributed", "tensor-parallel", "the gradient is added up as well",
        "return (summed(grad),)",
        words="all ranks have the same gradient", region=3,
    ),  # fmt: skip
    # ---- 29_capstone
    Mistake(
        "29_capstone", "nats-per-byte", "means of windows",
        (', reduction="sum"', ""),
        words="means are added up",
    ),  # fmt: skip
    Mistake(
        "29_capstone", "nats-per-byte", "one window more or less",
        ("range(0, len(ids) - 1, context)", "range(0, len(ids) - context, context)"),
        words="the last, shorter window is left out",
    ),  # fmt: skip
    Mistake(
        "29_capstone", "nats-per-byte", "while training",
        ("with evaluating(model):", "if True:"),
        words="in training mode",
    ),  # fmt: skip
    Mistake(
        "29_capstone", "nats-per-byte", "the token behind the window is lost",
        ("[start : start + context + 1]", "[start : start + context]"),
        words="the token behind each is lost",
    ),  # fmt: skip
    Mistake(
        "29_capstone", "plan", "a weight is a byte",
        ("weights * bits / 8", "weights"),
        words="bits are not counted",
    ),  # fmt: skip
    Mistake(
        "29_capstone", "plan", "the tokens do not matter",
        (" and tokens >= tokens_per_weight * weights", ""),
        words="as large as the file allows",
    ),  # fmt: skip
    Mistake(
        "29_capstone", "plan", "the smallest",
        ("max(fitting)", "min(fitting)"),
        words="the first or smallest that fits",
    ),  # fmt: skip
    Mistake(
        "29_capstone", "pareto-frontier", "as they come",
        ("sorted(range(len(costs)), key=lambda i: (costs[i], losses[i]))", "range(len(costs))"),
        words="expected",
    ),  # fmt: skip
    Mistake(
        "29_capstone", "pareto-frontier", "as good for more",
        ("losses[i] < lowest", "losses[i] <= lowest"),
        words="more cost for the same loss",
    ),  # fmt: skip
    Mistake(
        "29_capstone", "overlap", "of the text's own runs",
        ("set(runs_of(text)), runs_of(held_out)", "set(runs_of(held_out)), runs_of(text)"),
        words="of the text's own runs",
    ),  # fmt: skip
    Mistake(
        "29_capstone", "overlap", "upper case",
        ("content.casefold()", "content"),
        words="upper case counts",
    ),  # fmt: skip
    Mistake(
        "29_capstone", "overlap", "different runs only",
        ("runs_of(held_out)\n", "set(runs_of(held_out))\n"),
        words="different runs only",
    ),  # fmt: skip
]
