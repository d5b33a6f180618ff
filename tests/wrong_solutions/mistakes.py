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
    region: int = 0


MISTAKES = [
    # ---- 01_elementwise
    Mistake(
        "01_elementwise", "mul", "unbroadcast is missing",
        """
dx = grad * self.y if self.needs_grad[0] else None
dy = grad * self.x if self.needs_grad[1] else None
return dx, dy
""",
        words="unbroadcast",
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "div", "the sign of the second gradient",
        """
dx = unbroadcast(grad / self.y, np.shape(self.x)) if self.needs_grad[0] else None
dy = unbroadcast(grad * (self.x / self.y / self.y), np.shape(self.y)) if self.needs_grad[1] else None
return dx, dy
""",
        words="the sign is wrong",
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "where", "the mask is inverted",
        """
dx = unbroadcast(np.where(self.condition, 0, grad), self.shapes[0]) if self.needs_grad[1] else None
dy = unbroadcast(np.where(self.condition, grad, 0), self.shapes[1]) if self.needs_grad[2] else None
return None, dx, dy
""",
        words="the mask is inverted",
    ),  # fmt: skip
    Mistake(
        "01_elementwise", "relu", "the gradient passes everywhere",
        "return (grad,)",
        words="the mask is missing", region=1,
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
    # ---- 02_shapes
    Mistake(
        "02_shapes", "index", "assignment instead of scatter-add",
        "dx[self.key] = grad",
        words="assigned where it should be added",
    ),  # fmt: skip
    Mistake(
        "02_shapes", "matmul", "no transpose",
        """
if self.needs_grad[0]:
    dx = unbroadcast(grad @ y, x.shape).reshape(self.x.shape)
if self.needs_grad[1]:
    dy = unbroadcast(x @ grad, y.shape).reshape(self.y.shape)
""",
        words="is a transpose missing",
    ),  # fmt: skip
    Mistake(
        "02_shapes", "softmax", "each share as if it stood alone",
        "return (grad * self.out * (1 - self.out),)",
        words="a term is missing", region=1,
    ),  # fmt: skip
    Mistake(
        "02_shapes", "softmax", "large scores overflow",
        """
out = np.exp(x)
out /= out.sum(axis=self.dim, keepdims=True)
self.out = out
return out
""",
        words="overflow",
    ),  # fmt: skip
    Mistake(
        "02_shapes", "reshape-permute", "the permutation is not inverted",
        "return (grad.transpose(self.dims),)",
        words="the inverse permutation", region=1,
    ),  # fmt: skip
    # ---- 03_tensor
    Mistake(
        "03_tensor", "tensor", "the slice is taken from .data",
        "return Tensor.wrap(self.data[as_key(key)])",
        words=".data", region=4,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "tensor", "a second gradient replaces the first",
        "self.grad = gradient if fresh else np.array(gradient)",
        words="added", region=1,
    ),  # fmt: skip
    Mistake(
        "03_tensor", "tensor", "1 - x is x - 1",
        "return apply(elementwise.Sub(), self, other)",
        words="order", region=2,
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
        "03_tensor", "topological-order", "written down before its parents",
        """
while stack:
    node, _ = stack.pop()
    if node not in seen:
        seen.add(node)
        order.insert(0, node)
        stack.extend([(parent, False) for parent in node.parents if isinstance(parent, Function)])
""",
        words="when all its parents are done",
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
            "np.ones(len(grad), grad.dtype) @ grad",
            "grad.mean(axis=0)",
        ),
        words="a mean where it should be a sum", region=1,
    ),  # fmt: skip
    Mistake(
        "04_modules", "dropout", "what is kept does not grow",
        "scale = keep.astype(input.dtype)",
        words="1 / (1 - p)",
    ),  # fmt: skip
    Mistake(
        "04_modules", "init", "fan_in and fan_out swapped",
        'return gain / math.sqrt(max(fan_out if mode == "fan_in" else fan_in, 1))',
        words="fan", region=1,
    ),  # fmt: skip
    Mistake(
        "04_modules", "module", "writes before everything is checked",
        """
for name, array in arrays.items():
    ours[name].data[...] = array
problems += [f"{name}: got shape {array.shape}, expected {ours[name].shape}"
             for name, array in arrays.items() if array.shape != ours[name].shape]
if strict:
    problems += [f"{name}: missing" for name in differ.missing_keys]
    problems += [f"{name}: unexpected" for name in differ.unexpected_keys]
if problems:
    raise RuntimeError("load_state_dict: " + ", ".join(problems))
""",
        words="written before all was checked", region=1,
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
        """
picked[rows] = x[rows][np.arange(len(x[rows])), self.target[rows]]
if self.smoothing:
    spread[rows] = x[rows] @ self.weight
self.exp[rows] = np.exp(x[rows])
self.z[rows] = self.exp[rows].sum(axis=1)
""",
        words="overflow",
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
        "losses = input - target",
        words="square",
    ),  # fmt: skip
    Mistake(
        "05_losses", "soft-cross-entropy", "the sign is forgotten",
        (
            "losses = -(target * log_softmax(input, dim))",
            "losses = target * log_softmax(input, dim)",
        ),
        words="sign",
    ),  # fmt: skip
    # ---- 06_optimizers
    Mistake(
        "06_optimizers", "sgd-update", "uphill",
        (
            'x -= group["lr"]',
            'x += group["lr"]',
        ),
        words="uphill",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "sgd-update", "the velocity is a new array",
        (
            "            velocity *= momentum\n",
            "            velocity = velocity * momentum\n",
        ),
        words="in place",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "adam-update", "eps inside the root",
        """
m *= beta1
m += (1 - beta1) * grad
v *= beta2
v += (1 - beta2) * grad * grad
x -= lr * c2 / c1 * m / np.sqrt(v + eps)
""",
        words="eps",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "adam-update", "no correction of the first steps",
        """
m *= beta1
m += (1 - beta1) * grad
v *= beta2
v += (1 - beta2) * grad * grad
x -= lr * m / (np.sqrt(v) + eps)
""",
        words="correct",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "adamw-update", "the decay goes into the gradient",
        'adam_update(x, grad + group["weight_decay"] * x, *moments, step, group["lr"], group["betas"], group["eps"])',
        words="decay",
    ),  # fmt: skip
    Mistake(
        "06_optimizers", "clip-grad-norm", "a new array is scaled",
        (
            "p.grad *= scale",
            "grad = p.grad * scale  # noqa: F841",
        ),
        words="in place",
    ),  # fmt: skip
    # ---- 07_data
    Mistake(
        "07_data", "random-split", "the parts are not shuffled",
        """
ends = np.cumsum(sizes)
return [Subset(dataset, np.arange(end - size, end)) for size, end in zip(sizes, ends)]
""",
        words="shuffled",
    ),  # fmt: skip
    Mistake(
        "07_data", "random-split", "every part begins at the front",
        "return [Subset(dataset, order[:size]) for size in sizes]",
        words="two parts",
    ),  # fmt: skip
    Mistake(
        "07_data", "data-loader", "the smaller last batch is forgotten",
        "return len(self.dataset) // self.batch_size",
        words="last batch",
    ),  # fmt: skip
    Mistake(
        "07_data", "data-loader", "the same batch again and again",
        """
self.dealt += 1
return self.loader.fetch(self.order[:self.loader.batch_size])
""",
        words="once", region=1,
    ),  # fmt: skip
    # ---- 08_training
    Mistake(
        "08_training", "accumulate-gradients", "every piece counts alike",
        """
loss = loss_fn(model, *batch)
total += finite(loss.item(), "loss") / len(sizes)
(loss / len(sizes)).backward()
""",
        words="weight",
    ),  # fmt: skip
    Mistake(
        "08_training", "accumulate-gradients", "gradients are cleared between the pieces",
        """
loss = loss_fn(model, *batch)
total += weight * finite(loss.item(), "loss")
model.zero_grad()
(loss * weight).backward()
""",
        words="add up",
    ),  # fmt: skip
    Mistake(
        "08_training", "evaluate", "a mean of means",
        """
total += loss_fn(model, *batch).item()
examples += 1
""",
        words="number of examples",
    ),  # fmt: skip
    Mistake(
        "08_training", "accuracy", "padding counts",
        """
hits += int((scores.argmax(axis=-1) == targets).sum())
n += targets.size
""",
        words="ignore",
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
        "return sorted(counts, key=lambda word: (counts[word], word))[:n]",
        words="most frequent first",
    ),  # fmt: skip
    Mistake(
        "09_tokenizers", "bpe-training", "old pairs stay counted",
        (
            "    self.counts[other] -= self.weights[p]",
            "    pass",
        ),
        words="old pairs",
    ),  # fmt: skip
    Mistake(
        "09_tokenizers", "bpe-training", "pieces count once, however often they occur",
        (
            "self.counts[other] += self.weights[p]",
            "self.counts[other] += 1",
        ),
        words="weight",
    ),  # fmt: skip
    # ---- 10_embeddings
    Mistake(
        "10_embeddings", "scatter-add-rows", "assignment instead of addition",
        "table[indices] = rows",
        words="scatter-add",
    ),  # fmt: skip
    Mistake(
        "10_embeddings", "embedding-function", "padding_idx 0 is taken for None",
        (
            "if self.padding_idx is not None:",
            "if self.padding_idx:",
        ),
        words="padding_idx",
    ),  # fmt: skip
    Mistake(
        "10_embeddings", "learned-positions", "through .data",
        "return Tensor(self.weight.data[offset:offset + length])",
        words=".data",
    ),  # fmt: skip
    Mistake(
        "10_embeddings", "sinusoidal-table", "sines first, then cosines",
        "return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1)[:, :dim]",
        words="even columns",
    ),  # fmt: skip
    Mistake(
        "10_embeddings", "rotary-function", "the gradient is turned on, not back",
        "return (rotate(grad, self.cos, self.sin),)",
        words="turned back", region=1,
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
        "12_normalization", "layer-norm-function", "eps outside the root",
        (
            "np.sqrt(mean_product(xhat, xhat) + self.eps)",
            "(np.sqrt(mean_product(xhat, xhat)) + self.eps)",
        ),
        words="eps",
    ),  # fmt: skip
    Mistake(
        "12_normalization", "layer-norm-function", "the mean is a constant to backward",
        (
            "grad -= row_mean(grad)\n",
            "\n",
        ),
        words="the mean depends on x", region=1,
    ),  # fmt: skip
    Mistake(
        "12_normalization", "rms-norm-function", "the mean is removed",
        """
rows = rows - row_mean(rows)
scale = 1 / np.sqrt(mean_product(rows, rows) + self.eps)
np.multiply(rows, scale, out=xhat)
return scale
""",
        words="mean",
    ),  # fmt: skip
    Mistake(
        "12_normalization", "normalize", "the root has no slope at 0",
        "length = (x.abs() ** p).sum(dim, keepdim=True) ** (1 / p)",
        words="zeros",
    ),  # fmt: skip
    # ---- 13_transformer
    Mistake(
        "13_transformer", "relu-squared-function", "a factor of 2 is missing",
        "return (grad * self.positive,)",
        words="factor of 2", region=1,
    ),  # fmt: skip
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
        words="behind",
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
        "16_convolution", "conv-windows", "stride and dilation swapped",
        """
of_channel, *steps, of_image = planes.strides
within = [step * s for step, s in zip(steps, stride)]
between = [step * d for step, d in zip(steps, dilation)]
shape = (planes.shape[0], *kernel, *counts, planes.shape[-1])
return as_strided(planes, shape, (of_channel, *within, *between, of_image), writeable=False)
""",
        words="stride and dilation are swapped",
    ),  # fmt: skip
    Mistake(
        "16_convolution", "conv-function", "assigned where windows overlap",
        ("dplanes[seen] += ", "dplanes[seen] = "),
        words="assigned", region=2,
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
            "if wide_after and not wide_before:",
            "if wide_after:",
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
]
