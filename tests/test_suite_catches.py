"""Tests of the tests: one mistake at a time goes into a copy of the library, and the suite must go red.

Each row says what is wrong, the text as it is, and the text with the mistake in it. The text must occur exactly once in
its file, and the tests named beside the file (one or two files of the chapter, without PyTorch's help) must be green
for the library as it is and must fail, as a test fails and not as an import does, for the library with the mistake.

    python -m pytest tests/test_suite_catches.py -k softmax -rP     # which test noticed
"""
import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

import pytest

import tinytorch

MISTAKES = {
    ("ops/elementwise.py", "01_elementwise/test_elementwise.py"): [
        ("tanh: gradient off by a thousandth", "1 - self.out * self.out", "1.001 - self.out * self.out"),
        ("sqrt: a factor of 2 is missing", "grad / (2 * self.out)", "grad / self.out"),
        ("sub: a sign is wrong", "dy = unbroadcast(-grad,", "dy = unbroadcast(grad,"),
        ("div: one of two divisions is missing", "self.x / self.y / self.y", "self.x / self.y"),
        ("div: one product in the place of two divisions", "self.x / self.y / self.y", "self.x / (self.y * self.y)"),
        ("pow: 0 times infinity", "np.where(np.equal(y, 0), 0, y * x ** (y - 1))", "y * x ** (y - 1)"),
        ("relu: the gradient passes where x was negative", "grad * (self.out > 0)", "grad * (self.out >= 0)"),
        ("maximum: where x and y tie, x takes all", "np.equal(self.x, self.y), 0.5", "np.equal(self.x, self.y), 1.0"),
        ("maximum: float64 leaks into a float32 gradient", "self.wins(self.x, self.y)).astype(grad.dtype)",
         "self.wins(self.x, self.y))"),
        ("where: both sides get the gradient", "np.where(self.condition, 0, grad)", "grad"),
        ("where: a gradient for nobody", "if self.needs_grad[2] else None", "if True else None"),
        ("clamp: the gradient passes outside", "(grad * self.inside,)", "(grad * 1,)"),
    ],
    ("ops/elementwise.py", "01_elementwise/test_gradcheck.py"): [
        ("unbroadcast: stretched axes are not summed", "grad = grad.sum(axis=stretched, keepdims=True)", "pass"),
        ("unbroadcast: axes in front are averaged", "grad.sum(axis=tuple(range(added)))",
         "grad.mean(axis=tuple(range(added)))"),
        ("unbroadcast: axes stretched to nothing are forgotten", "if size == 1 and grad.shape[i] != 1",
         "if size == 1 and grad.shape[i] > 1"),
    ],
    ("gradcheck.py", "01_elementwise/test_gradcheck.py"): [
        ("gradcheck: finds nothing", "if wrong.any():", "if False:"),
        ("gradcheck: looks at the first input only", "for i, x in enumerate(arrays):", "for i, x in [(0, arrays[0])]:"),
        ("gradcheck: tolerates a thousandth", "rtol=1e-5, atol", "rtol=1e-2, atol"),
        ("gradcheck: leaves its nudge behind", "        x[index] = before\n", ""),
        ("gradcheck: two outputs in one array", "above = np.array(f())", "above = f()"),
        ("gradcheck: the second output is x itself", "below = np.array(f())", "below = f()"),
        ("gradcheck: nudges one way only", "x[index] = before - eps", "x[index] = before"),
        ("gradcheck: nan is right", "~(difference <= allowed)", "difference > allowed"),
        ("gradcheck: the tolerance does not grow", "atol * max(1.0, np.abs(expected).max(initial=0))", "atol"),
        ("gradcheck: one operation for all measurements", "lambda: make_operation().forward(*arrays)",
         "lambda: operation.forward(*arrays)"),
        ("gradcheck: nudges the caller's arrays", "None if a is None else np.array(a)", "a"),
        ("gradcheck: the cotangent is all ones", "cotangent = random_cotangent(np.shape(out), seed)",
         "cotangent = np.ones(np.shape(out))"),
        ("gradcheck: an old gradient counts", "        t.grad = None\n", ""),
        ("gradcheck: of an expression, looks at the first tensor only", "for i, t in wanted:\n        expected",
         "for i, t in wanted[:1]:\n        expected"),
    ],
    ("gradcheck.py", "test_clear_failures.py"): [
        ("gradcheck: the cotangent may be the input itself", "default_rng((seed, 1))", "default_rng(seed)"),
    ],
    ("ops/reductions.py", "02_shapes/test_reductions.py"): [
        ("mean: the gradient of a sum", "self.restore(grad) / max(self.count, 1)", "self.restore(grad)"),
        ("var: the correction is ignored", "1 / (self.count - self.correction)", "1 / self.count"),
        ("std: the root has no slope", "super().backward(grad * slope)", "super().backward(grad)"),
        ("amax: those that tie receive all of it, each", "share = self.restore(grad) / number",
         "share = self.restore(grad)"),
        ("cumsum: backward runs from the front", "return (np.flip(sums, axes),)",
         "return (np.cumsum(grad, axis=self.dim).reshape(grad.shape),)"),
        ("softmax: backward without the subtraction", "self.out * (grad - average)", "self.out * grad"),
        ("softmax: large numbers overflow", "np.exp(x - largest)\n        self.out = exp /",
         "np.exp(x)\n        self.out = exp /"),
        ("log_softmax: the gradient of softmax", "grad - np.exp(self.out) * total", "grad - self.out * total"),
        ("log_softmax: the log of what was rounded to 0", "self.out = shifted - np.log(sums)",
         "self.out = np.log(np.exp(shifted) / sums)"),
        ("logsumexp: infinity less infinity", "largest = np.where(np.isfinite(largest), largest, 0)", "pass"),
        ("prod: divides, and so breaks at 0", "others = (left * right)",
         "others = (rows.prod(-1, keepdims=True) / rows)"),
        ("reductions: a dim may be named twice", "if len(set(axes)) < len(axes):", "if False:"),
    ],
    ("ops/reductions.py", "02_shapes/test_products.py"): [
        ("matmul: the gradient of x is not unbroadcast", "unbroadcast(grad @ y.mT, x.shape).reshape",
         "(grad @ y.mT).reshape"),
        ("matmul: y is not transposed", "grad @ y.mT", "grad @ y"),
        ("matmul: a stack of gradients as large as the weight", "if self.needs_grad[1] and y.ndim == 2:", "if False:"),
        ("einsum: a letter summed away gives its gradient to one place",
         "dx = np.broadcast_to(unbroadcast(dx, shape), shape)",
         "dx = np.pad(dx, [(0, n - m) for n, m in zip(shape, dx.shape)])"),
        ("einsum: a diagonal's gradient goes everywhere", "whole = np.zeros(self.operands[i].shape",
         "whole = np.ones(self.operands[i].shape"),
    ],
    ("ops/shapes.py", "02_shapes/test_shapes.py"): [
        ("index: assigned instead of added", "else:\n            np.add.at(dx, self.key, grad)",
         "else:\n            dx[self.key] = grad"),
        ("gather: assigned instead of added", "np.add.at(dx, self.key, grad)\n        return dx, None",
         "dx[self.key] = grad\n        return dx, None"),
        ("permute: backward permutes once more", "inverse = np.argsort(dims).astype(int)", "inverse = self.dims"),
        ("tril: the gradient comes through the zeros", "return (self.keep(grad, self.diagonal),)", "return (grad,)"),
        ("expand: the copies' gradients are not summed", "(unbroadcast(grad, self.before),)",
         "(grad[tuple(slice(n) for n in self.before)],)"),
        ("roll: backward rolls on", "back = -np.asarray(self.shifts)", "back = np.asarray(self.shifts)"),
        ("cat: cut at the sizes", "np.cumsum(sizes)[:-1]", "sizes[:-1]"),
        ("pad: the crop has no gradient", "return (dx[self.inside],)", "return (grad[self.inside],)"),
        ("clone: shares its memory", "return x.copy()", "return x"),
    ],
    ("state.py", "03_tensor/test_graph.py"): [
        ("no_grad: does not end", "thread.recording = self.before", "pass"),
    ],
    ("autograd.py", "03_tensor/test_graph.py"): [
        ("graph: the last path to arrive wins", "return total + gradient, True", "return gradient, True"),
        ("graph: adds into memory of others", "if ours:", "if True:"),
        ("graph: takes every gradient for its own", "gradient.base is None and gradient.flags.writeable", "True"),
        ("graph: an operation runs once per path", "elif node not in seen:", "else:"),
        ("graph: not freed", "if not retain_graph:", "if False:"),
        ("graph: freed although retained", "if not retain_graph:", "if True:"),
        ("graph: a gradient of the wrong shape is let through",
         "if gradient is None or gradient.shape != parent.out_shape:", "if False:"),
    ],
    ("tensor.py", "03_tensor/test_graph.py"): [
        ("backward: assigns to grad instead of adding", "self._grad.data += gradient", "self._grad.data = gradient"),
        ("backward: keeps a gradient that others hold", "gradient if fresh else np.array(gradient)", "gradient"),
        ("detach: detaches nothing",
         "def detach(self): return Tensor.wrap(self.data)",
         "def detach(self): return self"),
    ],
    ("tensor.py", "03_tensor/test_tensor.py"): [
        ("Tensor: shares the memory of what it was made from", "self.data = np.array(_as_array(",
         "self.data = np.asarray(_as_array("),
        ("transpose: the same dim twice", "dims[a], dims[b] = dims[b], dims[a]", "dims[a], dims[b] = dims[a], dims[b]"),
    ],
    ("state.py", "03_tensor/test_tensor.py"): [
        ("manual_seed: ignored", "thread.generator = np.random.default_rng(seed)",
         "thread.generator = np.random.default_rng()"),
    ],
    ("inplace.py", "inplace/test_inplace.py"): [
        ("in place: another array takes the place", "self.data[...] = result.data", "self.data = result.data"),
        ("in place: nobody hears of it", "            writes.note(by, self.data)\n", ""),
        ("in place: a leaf changes under a graph", "if self.requires_grad and self.is_leaf and thread.recording:",
         "if False:"),
        ("graph: runs on what was overwritten", "if number > before and not is_spare(operation, array):", "if False:"),
    ],
    ("promotion.py", "operations/test_dtypes.py"): [
        ("float16: computed in float16", "in_dtype(a, FLOAT32) if getattr(a, \"dtype\", None) == FLOAT16 and not cast"
         " else a for a in", "a for a in"),
    ],
    ("training.py", "test_padding.py"): [
        ("accumulation: padding counts", 'count = getattr(loss, "mean_over", None)', "count = None"),
    ],
    ("nn/layers.py", "04_modules/test_linear_and_dropout.py"): [
        ("linear: the bias gets the mean", "grad.sum(axis=0)", "grad.mean(axis=0)"),
        ("linear: the weight's gradient forgets all rows but one", "grad.T @ self.rows", "grad[:1].T @ self.rows[:1]"),
        ("linear: a gradient for the absent bias", "grad.sum(axis=0) if self.has_bias else None", "grad.sum(axis=0)"),
        ("dropout: what is kept does not grow", "1 / (1 - p) if p < 1", "1.0 if p < 1"),
        ("dropout: active in eval mode", "if not training or p == 0:", "if p == 0:"),
        ("dropout: keeps p instead of 1 - p", "dtype=np.float32) >= p", "dtype=np.float32) < p"),
    ],
    ("nn/activations.py", "04_modules/test_activations.py"): [
        ("gelu: a factor of 3 is missing", "1 + 3 * self.cubic", "1 + self.cubic"),
        ("gelu: the exact one's density is missing", "self.below + self.x * density", "self.below + 0 * density"),
        ("silu: the slope of a sigmoid", "self.sigmoid + self.x * self.sigmoid * (1", "self.sigmoid * (1"),
        ("relu_squared: a factor of 2 is missing", "grad * 2 * self.positive", "grad * self.positive"),
        ("leaky_relu: the slope at 0 is 1", "input.where(input > 0,", "input.where(input >= 0,"),
        ("softplus: the threshold is compared with x", "np.where(self.scaled > self.threshold, x,",
         "np.where(x > self.threshold, x,"),
        ("logsigmoid: the sigmoid is rounded to 0", '-softplus(-_floats("logsigmoid", input), threshold=math.inf)',
         '_floats("logsigmoid", input).sigmoid().log()'),
        ("erf: the sign is lost", "np.copysign(1 - tail * t * np.exp(-z * z), z)", "(1 - tail * t * np.exp(-z * z))"),
    ],
    ("nn/module.py", "04_modules/test_module.py"): [
        ("parameters: a shared one is counted twice", "if id(thing) not in seen:", "if True:"),
        ("train: does not reach the children", "for module in self.modules():\n            module.training = mode",
         "self.training = mode"),
        ("state_dict: hands out the arrays themselves", "path: tensor.data.copy()", "path: tensor.data"),
        ("load_state_dict: does not check shapes", "if array.shape != ours[name].shape]", "if False]"),
        ("load_state_dict: replaces the arrays that others hold", "ours[name].data[...] = array",
         "ours[name].data = array"),
        ("register_buffer: a buffer of one module is one of all", "self._buffers = self._buffers | {name: persistent}",
         "self._buffers[name] = persistent"),
        ("repr: neighbours that differ share a line", "groupby(map(repr, self))", "[(repr(self[0]), list(self))]"),
        ("apply: the parent before its children", "child.apply(fn)\n        fn(self)", "fn(child)\n        fn(self)"),
        ("zero_grad: leaves the gradients", "parameter.grad = None", "pass"),
    ],
    ("nn/losses.py", "05_losses/test_cross_entropy.py"): [
        ("cross_entropy: ignored targets count in the mean", "float(chosen @ self.counts)", "float(chosen.sum())"),
        ("cross_entropy: the gradient of the mean is that of the sum", "grad = grad / self.divisor if",
         "grad = grad if"),
        ("cross_entropy: ignored targets get a gradient", "grad = np.where(self.counts, grad, 0)",
         "grad = np.where(self.counts, grad, grad)"),
        ("cross_entropy: label smoothing is dropped", "(weights, ignore_index, label_smoothing, reduction)",
         "(weights, ignore_index, 0.0, reduction)"),
        ("cross_entropy: the target is not subtracted", "dx[np.arange(len(dx)), self.target] -= chosen", "pass"),
        ("cross_entropy: confident logits overflow", "x - x.max(axis=1, keepdims=True)", "x"),
        ("nll_loss: an ignored -inf poisons the sum", "picked.masked_fill(~counts, 0.0)", "picked"),
        ("nll_loss: the last class is refused", "indices >= classes", "indices >= classes - 1"),
    ],
    ("nn/losses.py", "05_losses/test_losses.py"): [
        ("mse_loss: not squared", "(input - target).square()", "(input - target)"),
        ("bce_with_logits: pos_weight is ignored", "1 + (pos_weight - 1) * target", "1"),
        ("bce: a logarithm of 0 is infinite", "np.maximum(np.log(p), -100)", "np.log(p)"),
        ("BCELoss: its weight is not saved", 'self.register_buffer("weight", weight)\n        self.reduction',
         "self.weight = weight\n        self.reduction"),
    ],
    ("optim/optimizers.py", "06_optimizers/test_updates.py"): [
        ("step: does nothing", "self.update(arrays, grads", "(lambda *a, **b: 0)(arrays, grads"),
        ("step: parameters are replaced", "self.update(arrays, grads, moments, steps, **settings)",
         "self.update(arrays, grads, moments, steps, **settings)\n            for p in params: p.data = +p.data"),
        ("step: the count stays", 'state["step"] = state.get("step", 0) + 1', 'state["step"] = 1'),
        ("AdamW: weight decay goes through the moments", "x *= 1 - lr * weight_decay\n",
         "grad = grad + weight_decay * x\n"),
        ("Adam: L2 is ignored", "elif weight_decay:", "elif False:"),
        ("Adam: no bias correction of the mean", "m / (1 - beta1 ** step)", "m"),
        ("Adam: no bias correction of the squares", "v / (1 - beta2 ** step)", "v"),
        ("Adam: eps inside the root", "(np.sqrt(v_hat) + eps)", "np.sqrt(v_hat + eps)"),
        ("SGD: no memory of the velocity", "velocity *= momentum", "velocity *= 0"),
        ("SGD: dampened from the first step", "velocity[...] = direction",
         "velocity[...] = (1 - dampening) * direction"),
        ("SGD: nesterov is ignored", "direction + momentum * velocity if nesterov else velocity", "velocity"),
    ],
    ("optim/optimizers.py", "06_optimizers/test_groups_and_state.py"): [
        ("optimizer: zero_grad leaves the gradients", "                p._grad = None\n", "                pass\n"),
        ("optimizer: the step count is not saved", 'if name != "step" else a', 'if name != "step" else 1'),
        ("optimizer: the saved moments are no copies", "name: np.copy(a)", "name: a"),
        ("optimizer: the loaded moments are no copies", "zip(entries, new_moments(arrays))", "zip(entries, arrays)"),
        ("optimizer: settings are loaded before they are checked", "            self.check_settings(groups[-1])\n",
         "            mine.update(groups[-1])\n            self.check_settings(groups[-1])\n"),
        ("decay_groups: biases decay as well", '"weight_decay": 0.0}', '"weight_decay": weight_decay}'),
    ],
    ("optim/optimizers.py", "06_optimizers/test_clipping_and_schedules.py"): [
        ("norm: overflows in float32", "if not 1e-30 < squares < 1e30:", "if False:"),
        ("clipping: each tensor for itself", "p.grad.data *= scale",
         "p.grad.data *= max_norm / (total_norm([p.grad.data]) + 1e-6)"),
        ("clipping: short gradients grow", "if scale < 1 and math.isfinite(norm)", "if math.isfinite(norm)"),
        ("schedule: never steps", '{"steps": self.steps + 1}', '{"steps": self.steps}'),
        ("schedule: the multiplier is of the last rate", 'group.setdefault("initial_lr", group["lr"]) *',
         'group["lr"] *'),
        ("schedule: warm-up starts at 0", "return (step + 1) / warmup", "return step / warmup"),
        ("schedule: the cosine's floor is ignored", "return floor + (1 - floor) * 0.5", "return 0.5"),
    ],
    ("data.py", "07_data/test_loader.py"): [
        ("DataLoader: does not shuffle", "if loader.shuffle else", "if False else"),
        ("DataLoader: the same order in every epoch", "self.order = generator.permutation(",
         "self.order = np.random.default_rng(0).permutation("),
        ("DataLoader: a seed starts again in every epoch", "self.generator = None if generator is None else"
         " as_generator(generator)", "self.generator = generator"),
        ("DataLoader: drop_last is ignored", "(rest > 0 and not self.drop_last)", "(rest > 0)"),
    ],
    ("data.py", "07_data/test_datasets.py"): [
        ("random_split: parts overlap", "order[end - size:end]", "order[:size]"),
        ("collate: gradients are lost", "columns.append(stack(values))",
         "columns.append(Tensor(np.stack([v.data for v in values])))"),
    ],
    ("training.py", "08_training/test_training.py"): [
        ("accumulation: a sum where a mean should be", "(loss * (count / unit)).backward()",
         "loss.backward()"),
        ("training: gradients of the last step are still there", "    optimizer.zero_grad()\n", ""),
        ("training: the schedule is never stepped", "            self.schedule.step()", "            pass"),
        ("evaluation: dropout stays on", "model.eval()\n    try:", "try:"),
        ("accuracy: padding counts", "counted = targets != ignore_index", "counted = targets == targets"),
    ],
    ("training.py", "08_training/test_trainer.py"): [
        ("resume: the epoch begins again", "next(islice(self.batches, self.dealt, self.dealt), None)", "pass"),
        ("resume: the batches of another order", "generator.state = self.began = self.began or now",
         "self.began = self.began or now"),
        ("early stopping: a draw counts as better", "self.better(value, best) != best",
         "self.better(value, best) == value"),
        ("checkpoints: weights of inf are saved", "if not np.isfinite(p.data).all()", "if False"),
    ],
    ("checkpoint.py", "08_training/test_checkpoint.py"): [
        ("checkpoints: a changed array is not noticed", "content.update(array.tobytes())", "pass"),
        ("checkpoints: the generator is not restored", 'generator.state = content["generator"]', "pass"),
        ("checkpoints: half a checkpoint stays", "now.update(old)", "pass"),
        ("weights: each name of a shared one is needed", "if name in names or id(t) not in given", "if True"),
    ],
    ("anomaly.py", "08_training/test_anomaly.py"): [
        ("nan: a mask is to blame", "producers.get(id(a))", "producers.get(None)"),
        ("nan: gradients are not watched", "not all(np.isfinite(a).all() for a in outputs)",
         'half.__name__ == "forward" and not all(np.isfinite(a).all() for a in outputs)'),
    ],
    ("tokenizers.py", "09_tokenizers/test_tokenizers.py"): [
        ("tokenizer: a piece at the end of what was read does not wait", "if end > len(rest) - margin:",
         "if end > len(rest):"),
        ("words: a closing quote has a space before it", ' and not (token == \'"\' and quoted):', ":"),
    ],
    ("tokenizers.py", "09_tokenizers/test_bpe.py"): [
        ("byte pairs: old pairs stay counted", "counts[other] -= weights[p]", "counts[other] -= 0"),
        ("merging: a pair that is gone is merged", "if j == n or (ids[i], ids[j]) != pair:", "if j == n:"),
    ],
    ("nn/embedding.py", "10_embeddings/test_embedding.py"): [
        ("embedding: assigned instead of added", "np.add.at(table, indices, rows)", "table[indices] = rows"),
        ("embedding: of repeats only one counts", "np.add.at(table, indices, rows)", "table[indices] += rows"),
        ("embedding: float64 leaks into the gradient", "(count, rows.shape[-1]), rows.dtype)",
         "(count, rows.shape[-1]))"),
        ("embedding: padding is trained", "dweight[self.padding_idx] = 0", "pass"),
        ("embedding: the layer forgets its padding", "embedding(indices, self.weight, self.padding_idx)",
         "embedding(indices, self.weight)"),
        ("embedding: negative ids count from the end", "if indices.size and not (0 <= indices.min()",
         "if indices.size and not (-vocabulary <= indices.min()"),
    ],
    ("nn/embedding.py", "10_embeddings/test_positions.py"): [
        ("positions: read through .data, never trained", "return self.weight[offset:offset + length]",
         "return Tensor(self.weight.data[offset:offset + length])"),
        ("positions: offset is ignored", "return self.weight[offset:offset + length]", "return self.weight[:length]"),
        ("sinusoidal: all columns are sines", "= np.cos(angles[:, :dim // 2])", "= np.sin(angles[:, :dim // 2])"),
        ("angles: the base is ignored", "speeds = base **", "speeds = 10000.0 **"),
        ("rotary: all pairs turn equally fast", "angles = position_angles(max_len, head_dim, base)",
         "angles = position_angles(max_len, head_dim, base)[:, :1] * np.ones(head_dim // 2)"),
        ("rotary: backward turns on instead of back", "rotate(grad, self.cos, -self.sin)",
         "rotate(grad, self.cos, self.sin)"),
        ("rotary: offset is ignored", "places = slice(offset, offset + length)", "places = slice(length)"),
        ("rotary: the halves are not swapped", "np.concatenate([second, first], axis=-1)",
         "np.concatenate([first, second], axis=-1)"),
    ],
    ("nn/attention.py", "11_attention/test_scaled_dot_product.py"): [
        ("attention: the scale is missing", "self.scale = 1 / math.sqrt(query.shape[-1])", "self.scale = 1.0"),
        ("attention: the causal mask is missing", "    if is_causal:\n        mask = np.tril",
         "    if False:\n        mask = np.tril"),
        ("attention: the causal mask is inverted", "mask = np.tril(np.ones(", "mask = np.triu(np.ones("),
        ("attention: one sees the next token", "np.tril(np.ones(scores.shape[-2:], bool))",
         "np.tril(np.ones(scores.shape[-2:], bool), 1)"),
        ("attention: the last token is the last key, whatever the lengths", "np.tril(np.ones(scores.shape[-2:], bool))",
         "causal_mask(*scores.shape[-2:]).data"),
        ("attention: True hides", "np.where(mask, scores, -np.inf)", "np.where(mask, -np.inf, scores)"),
        ("attention: backward without the subtraction",
         "(dweights - (dweights * self.weights).sum(axis=-1, keepdims=True))", "dweights"),
        ("attention: scores overflow", "scores - scores.max(axis=-1, keepdims=True, initial=lowest)", "scores"),
        ("attention: a query without keys gets nan", "np.maximum(shares.sum(axis=-1, keepdims=True), 1)",
         "shares.sum(axis=-1, keepdims=True)"),
        ("attention: dropout is forgotten in the backward pass", "dweights = dweights * self.dropout_mask", "pass"),
        ("attention: dropout acts in the backward pass only", "self.kept = self.weights * self.dropout_mask",
         "self.kept = self.weights * 1"),
        ("attention: the mask's gradient is scaled", "unbroadcast(dscores, self.mask.shape)",
         "unbroadcast(dscores * self.scale, self.mask.shape)"),
        ("attention: a mask of float64 makes scores of float64", ".astype(scores.dtype, copy=False)", ""),
        ("attention: gradients of broadcast inputs are not summed", "unbroadcast(dx, x.shape) for dx", "dx for dx"),
    ],
    ("nn/attention.py", "11_attention/test_multi_head.py"): [
        ("heads: dropout in eval mode", "dropout = self.dropout if self.training else 0.0", "dropout = self.dropout"),
        ("self-attention: keys are not turned", "rotary(query, offset), rotary(key, offset)",
         "rotary(query, offset), key"),
        ("self-attention: places count from 0 behind a cache", "offset = 0 if cache is None else cache.length",
         "offset = 0"),
        ("self-attention: new tokens see each other", "is_causal = causal_mask(query.shape[-2], key.shape[-2]), False",
         "is_causal = None, False"),
        ("heads: keys are not turned", "self.rotary(query), self.rotary(key)", "self.rotary(query), key"),
        ("heads: interleaved instead of side by side", "x.reshape(*x.shape[:-1], num_heads, x.shape[-1] // num_heads)",
         "x.reshape(*x.shape[:-1], -1, num_heads).transpose(-1, -2)"),
        ("heads: not brought back in front of the features", "parts = heads.transpose(-2, -3)", "parts = heads"),
    ],
    ("nn/normalization.py", "12_normalization/test_norms.py"): [
        ("layer_norm: the mean is a constant to backward", "dx = dxhat - dxhat.mean(self.axes, keepdims=True)",
         "dx = dxhat.copy()"),
        ("layer_norm: the variance is a constant to backward",
         "        dx -= self.xhat * (dxhat * self.xhat).mean(self.axes, keepdims=True)\n", ""),
        ("layer_norm: eps outside the root", "np.sqrt(variance + self.eps)", "(np.sqrt(variance) + self.eps)"),
        ("layer_norm: variance divided by n - 1", "np.square(centered).mean(self.axes, keepdims=True)",
         "x.var(self.axes, keepdims=True, ddof=1)"),
        ("layer_norm: the mean of large numbers", "centered = x - x.min(self.axes, keepdims=True, initial=np.inf)",
         "centered = x + 0"),
        ("layer_norm: the bias without a weight is lost", "return out if bias is None else out + bias",
         "return out if bias is None or weight is None else out + bias"),
        ("layer_norm: the bias is added twice", "else out + bias", "else out + 2 * bias"),
        ("rms_norm: the mean square is a constant to backward",
         "dx = dxhat - self.xhat * (dxhat * self.xhat).mean(self.axes, keepdims=True)", "dx = dxhat"),
        ("rms_norm: eps outside the root", "np.sqrt(mean_square + self.eps)", "(np.sqrt(mean_square) + self.eps)"),
        ("rms_norm: the eps of float32 for all dtypes", "float(np.finfo(x.dtype).eps)",
         "float(np.finfo(np.float32).eps)"),
    ],
    ("diagnosis/case.py", "15_diagnosis/test_stages.py"): [
        ("diagnose: gradients are not put back", "tensor.data, tensor.grad, tensor.requires_grad = data, grad, wanted",
         "tensor.data, tensor.requires_grad = data, wanted"),
        ("diagnose: the optimizer itself makes the steps", "twin = copy.deepcopy(self.optimizer, shared)",
         "twin = self.optimizer"),
        ("diagnose: the first rate of a schedule is taken for the rate",
         'else group.get("initial_lr", group["lr"])', 'else group["lr"]'),
        ("diagnose: does not see where a value leaves the graph", "not needed and not np.array_equal(x, y)",
         "needed and not np.array_equal(x, y)"),
        ("diagnose: examines whichever form is switched on", "with enable_grad(), plain_forms(), np",
         "with enable_grad(), np"),
    ],
    ("diagnosis/graph.py", "15_diagnosis/test_stages.py"): [
        ("diagnose: any gradient is right", "SLOPE_TOLERANCE = 1e-2", "SLOPE_TOLERANCE = 1e2"),
    ],
    ("diagnosis/forward.py", "15_diagnosis/test_stages.py"): [
        ("diagnose: cross entropy is known by the name of its class", 'if event.kind == "cross_entropy"',
         'if event.operation.name == "CrossEntropyFunction"'),
        ("diagnose: earlier tokens count as later ones", "row[(at < place) & asked].max(initial=0)",
         "row[(at != place) & asked].max(initial=0)"),
    ],
    ("diagnosis/data.py", "15_diagnosis/test_stages.py"): [
        ("diagnose: targets are never compared with shifted inputs", "ids[:, start + k:start + k + length]",
         "ids[:, start:start + length]"),
    ],
    ("nn/convolution.py", "16_convolution/test_convolution.py"): [
        ("conv: a pixel keeps one window's gradient", "dx[seen] += (self.filters",
         "dx[seen] = (self.filters"),
        ("conv: only one image reaches the weight", ".swapaxes(-1, -2)).sum(0)", ".swapaxes(-1, -2))[0]"),
        ("conv: stride and dilation swapped", "slice(i * d, i * d + (count - 1) * step + 1, step)",
         "slice(i * step, i * step + (count - 1) * d + 1, d)"),
        ("conv: the gradient of the border is not cut off where the image is",
         "for size, (before, _) in zip(sizes, padding)", "for size, (_, before) in zip(sizes, padding)"),
        ("conv: weights start too large", "max(math.prod(self.weight.shape[1:]), 1)", "max(self.weight.shape[1], 1)"),
        ("conv: padding='same' puts the odd one in front", "(total // 2, total - total // 2)",
         "(total - total // 2, total // 2)"),
    ],
    ("nn/convolution.py", "16_convolution/test_pooling.py"): [
        ("max_pool: the last of those that tie wins", "(view > out) | np.isnan(view)",
         "(view >= out) | np.isnan(view)"),
        ("max_pool: the border is 0", "border = -np.inf", "border = 0.0"),
        ("pool: a pixel keeps one window's gradient", "dx[seen] += self.part(grad, i)",
         "dx[seen] = self.part(grad, i)"),
        ("avg_pool: always divided by the whole kernel", "values=self.count_include_pad)", "values=1)"),
    ],
    ("nn/convolution.py", "16_convolution/test_batch_norm.py"): [
        ("batch_norm: the mean is a constant to backward", "(grad - mean - self.xhat * overlap)",
         "(grad - self.xhat * overlap)"),
        ("batch_norm: running variance is the biased one", "(count / (count - 1))", "1"),
        ("batch_norm: momentum is what stays", "running.data += momentum * (now",
         "running.data += (1 - momentum) * (now"),
        ("batch_norm: uses the batch in eval mode", "self.training or not self.track_running_stats, self.momentum",
         "True, self.momentum"),
    ],
    ("nn/transformer.py", "13_transformer/test_components.py"): [
        ("block: no residual around the MLP", "return x + self.mlp(self.norm2(x))", "return self.mlp(self.norm2(x))"),
        ("block: post-norm is pre-norm", "if self.pre_norm:", "if True:"),
        ("swiglu: the wrong half goes through the activation", "self.activate(self.gate(x)) * self.fc1(x)",
         "self.gate(x) * self.activate(self.fc1(x))"),
    ],
    ("nn/transformer.py", "13_transformer/test_gpt.py"): [
        ("GPT: looks ahead", "is_causal=True, cache", "is_causal=False, cache"),
        ("GPT: the head is not tied", "self.head.weight = self.token_embedding.weight", "init_weights(self.head, 1)"),
        ("GPT: positions are not added", "x = x + self.position_embedding(length, offset)", "pass"),
        ("GPT: residual layers start as loud as the others", "std / math.sqrt(2 * num_layers)", "std"),
        ("GPT: embeddings are not dropped out", "return self.dropout(x)\n", "return x\n"),
        ("GPT: a head of its own starts as any Linear", "config.tied_head and not config.head_bias else self.head",
         "True else None"),
        ("GPT: last_only gives the first", "x[..., -1:, :]", "x[..., :1, :]"),
    ],
    ("nn/normalization.py", "12_normalization/test_normalize.py"): [
        ("normalize: no slope at 0", ".masked_fill(empty, 1.0)", ""),
        ("normalize: eps is ignored", "length.clamp(min=eps)", "length.clamp(min=1e-12)"),
    ],
    ("fast/kernels.py", "18_compiled_kernels/test_kernels.py"): [
        ("compiled exp: 2^n in one step, out of range at the ends", "power_of_two(half) * power_of_two(whole - half)",
         "power_of_two(whole)"),
        ("compiled gelu: the slope's last factor lost its 6", "f4(6) * cubic", "f4(3) * cubic"),
        ("compiled norm: the last rows are not added to dweight", "n % 64 == 63 or n == count - 1", "n % 64 == 63"),
        ("compiled softmax: the last numbers of a row are not compared", "row.size // 32 * 32, row.size", "0, 0"),
        ("compiled cross entropy: the target is not subtracted", "dx[n, target[n]] -= chosen[n]", "pass"),
        ("compiled masked softmax: a query without keys gets nan", "f4(1) if total[i] < f4(1) else total[i]",
         "total[i]"),
        ("compiled adam: no decay", "x[i] = keep * x[i]", "x[i] = x[i]"),
    ],
    ("pretrained.py", "19_pretrained/test_pretrained.py"): [
        ("pretrained: a weight that is left over is passed over", "for name in found if name not in weights]",
         "for name in found if False]"),
        ("pretrained: shapes are not compared", "if found[name].shape != expected or", "if"),
        ("pretrained: scaled rope goes through", 'name, "default")', "name, found.get('rope_type', found.get('type'))"
         ', "default", None)'),
        ("pretrained: a sliding window goes through", 'only(given, "sliding_window", None)', "pass"),
        ("pretrained: a second prefix goes unnoticed", "problems += [f\"{name}: there twice\"] * (plain in found)",
         "pass"),
        ("pretrained: the head of a tied model is taken on trust", "if not same_numbers(",
         "if False and same_numbers("),
        ("pretrained: loading draws", "before, thread.generator = thread.generator, Zeros()",
         "before = thread.generator"),
        ("pretrained: the eps is not saved", '"rms_norm_eps": eps', '"rms_norm_eps": 1e-6'),
        ("pretrained: the base is not saved", '{"rope_theta": config.rotary_base, "rope_type"',
         '{"rope_theta": 10000.0, "rope_type"'),
        ("pretrained: adapters are saved", "!= shapes_of(config):", "== 0:"),
    ],
    ("nn/lora.py", "20_finetuning/test_lora.py"): [
        ("lora: both factors begin at 0", "normal_(self.lora_A, std=1 / math.sqrt(self.in_features))",
         "zeros_(self.lora_A)"),
        ("lora: the base is not frozen", "base.requires_grad_(False)", "base"),
        ("lora: a tied weight is adapted", "owners[id(layer.weight)] > 1", "False"),
        ("lora: cross-attention sees the base's weight", "self.base.weight + self.delta()", "self.base.weight"),
        ("lora: what is missing in a state is passed over", "for path in ours if path not in state_dict]",
         "for path in ours if False]"),
        ("lora: a merged adapter is loaded", "if layer.merged]:", "if False]:"),
        ("lora: merge is not remembered", "        self.merged = True", "        self.merged = False"),
    ],
    ("counting.py", "21_counting/test_counting.py"): [
        ("counting: a tensordot goes uncounted", "np.tensordot: tensordot_flops, ", ""),
        ("counting: a convolution's stack is forgotten", "math.prod(np.broadcast_shapes(x[:-2], y[:-2])) * rows",
         "rows"),
        ("counting: a view does not count", 'self.meter = getattr(parent, "meter", None)', "self.meter = None"),
        ("counting: what is switched on is counted", "with plain_forms(), observed_by", "with observed_by"),
        ("counting: results go on counting", "tuple(map(uncounted, result)) if isinstance(result, tuple) else "
         "uncounted(result)", "result"),
        ("counting: layers of embeddings are multiplied", 'hasattr(module, "in_features")',
         'hasattr(module, "weight")'),
        ("counting: a roofline of operations without arithmetic", "row.flops and row.bytes", "row.bytes"),
        ("counting: the slowest time counts", "key: min(watch.seconds", "key: -min(watch.seconds"),
    ],
    ("quantization.py", "22_quantization/test_quantization.py"): [
        ("quantization: the product of integers is rounded", "rounded @ integers.T.astype(np.float64)",
         "rounded.astype(np.float32) @ integers.T.astype(np.float32)"),
        ("quantization: a shared weight is quantized", "owners[id(layer.weight)] <= 1", "owners[id(layer)] <= 1"),
        ("quantization: hooks stay", "            handle.remove()", "            pass"),
        ("quantization: calibrated with dropout", "with evaluating(model):", "if True:"),
        ("quantization: the input's gradient is scaled", "return grad @ self.weight(grad.dtype), None",
         "return grad @ self.weight(grad.dtype) * 2, None"),
        ("quantization: groups are ignored in training", "self.weight.data, self.bits, self.group)",
         "self.weight.data, self.bits)"),
        ("quantization: a byte keeps one number", "halves[:, :, 0] + 16 * halves[:, :, 1]",
         "halves[:, :, 0] + 8 * halves[:, :, 1]"),
    ],
    ("pruning.py", "23_distillation/test_pruning.py"): [
        ("pruning: equal magnitudes all go", "mask.flat[np.argsort(abs(weight), axis=None, kind=\"stable\")"
         "[:round(amount * weight.size)]] = False", "mask &= abs(weight) > np.quantile(abs(weight), amount)"),
        ("pruning: what is infinite stays", "parameters[path].masked_fill_(~np.asarray(mask), 0.0)",
         "parameters[path].mul_(np.asarray(mask))"),
        ("pruning: the head is pruned", 'skip=("head",), mask_of', "skip=(), mask_of"),
        ("pruning: layers are never compared", "    if together:", "    if False:"),
        ("pruning: the norm is always the second", "abs(slices) ** n", "abs(slices) ** 2"),
        ("pruning: the bias keeps its order", "layer.bias.data[rows]", "layer.bias.data[np.sort(rows)]"),
        ("pruning: the queries' heads count", "data[2 * size:]", "data[:size]"),
        ("pruning: values keep other rows", "features, 2 * size + features]", "features, size + features]"),
        ("pruning: the gate keeps its rows", "    if mlp.gate is not None:\n        mlp.gate = sliced",
         "    if False:\n        mlp.gate = sliced"),
        ("pruning: a head that was taken out stays out", "weight.copy_(whole)", "pass"),
        ("pruning: half a model is shrunk", "    for attention in attentions:\n        head_scores(attention)\n", ""),
    ],
    ("distillation.py", "23_distillation/test_distillation.py"): [
        ("distillation: the teacher learns", "teacher_logits.detach()", "teacher_logits"),
        ("distillation: without T^2", " * temperature ** 2", ""),
        ("distillation: the teacher in its own mode", "with evaluating(self.teacher):", "if True:"),
        ("distillation: turned round", "log_p.exp() * (log_p - log_q)", "log_q.exp() * (log_q - log_p)"),
    ],
    ("speculative.py", "24_speculative/test_speculative.py"): [
        ("speculative: always kept", "if not generator.random() * q[i, guess] < p[i, guess]:", "if False:"),
        ("speculative: drawn from p after a refusal", "leftover(p[i], q[i])[None]", "p[i][None]"),
        ("speculative: the caches forget nothing", "min(layer.length, length)", "layer.length"),
        ("speculative: the temperature is forgotten", ".data[0], self.temperature)", ".data[0])"),
        ("speculative: one token too many", "min(lookahead, end - len(ids) - 1)", "min(lookahead, end - len(ids))"),
    ],
    ("recomputation.py", "25_checkpointing/test_recomputation.py"): [
        ("recomputation: the generator stays where it is", "thread.generator = copy.deepcopy(self.generator)", "pass"),
        ("recomputation: the generator is not put back", "thread.generator = before[0]", "pass"),
        ("recomputation: gradients outside are lost", "leaf.grad, leaf.hooks = gradient, hooks", "pass"),
        ("recomputation: hooks are called twice", "leaf.grad, leaf.hooks = None, ()", "leaf.grad = None"),
        ("recomputation: a second run is taken on trust", "        self.same_as_before(out)\n", ""),
        ("recomputation: arrays may be overwritten", "self.arrays = arrays", "arrays = arrays"),
        ("recomputation: parameters get nothing", "return out.data, self.leaves", "return out.data, []"),
        ("recomputation: blocks stay checkpointed", "blocks.add_module(name, block)", "pass"),
        ("recomputation: what is computed outside is freed", "made.issuperset(topological_order(out.grad_fn))", "True"),
        ("recomputation: each segment lacks a layer", "functions[end - size : end]", "functions[end - size + 1 : end]"),
    ],
    ("scaling.py", "26_scaling/test_scaling.py"): [
        ("scaling: a minimum far outside is believed", " or not places.min() <= -b / (2 * a) <= places.max()", ""),
        ("scaling: sizes, not their logarithms", "places = np.log(sizes)", "places = np.array(sizes, float)"),
        ("scaling: the exponent is that of the inverse", "np.polyfit(np.log(x), np.log(y), 1)",
         "np.polyfit(np.log(y), np.log(x), 1)"),
        ("scaling: tokens of a middle size", "size, k * size ** a, loss", "size, tokens[len(tokens) // 2], loss"),
        ("scaling: forward only", "width, context, 1))", "width, context, 1) / 3)"),
        ("scaling: draws are no draws", "drawn = [group[i] for i in generator.integers(len(group), size=len(group))]",
         "drawn = group"),
        ("scaling: the interval is the middle half", "[(1 - level) / 2, (1 + level) / 2]", "[0.45, 0.55]"),
        ("scaling: noise has an interval, too", "if len(rows) < draws / 2:", "if not rows:"),
    ],
    ("capstone.py", "29_capstone/test_capstone.py"): [
        ("capstone: a mean of tokens, not of bytes", "return total / num_bytes", "return total / (len(ids) - 1)"),
        ("capstone: windows overlap by one", "len(ids) - 1, context)", "len(ids) - 1, context - 1)"),
        ("capstone: dropout while measuring", "with evaluating(model):", "if True:"),
        ("capstone: 4 bits are as large as 8", "weights * bits / 8", "weights"),
        ("capstone: a model that sees nothing", " and tokens >= tokens_per_weight * weights", ""),
        ("capstone: the smallest that fits", "max(fitting)", "min(fitting)"),
        ("capstone: no better for more", "losses[i] < lowest", "losses[i] <= lowest"),
        ("capstone: equal costs as they come", "(costs[i], losses[i])", "costs[i]"),
        ("capstone: the text's own runs", "set(runs_of(text)), runs_of(held_out)",
         "set(runs_of(held_out)), runs_of(text)"),
        ("capstone: case hides a text", "content.casefold()", "content"),
        ("capstone: commas hide a text", r're.findall(r"\w+", content.casefold())', "content.casefold().split()"),
    ],
    ("inside.py", "27_inside/test_by_hand.py"): [
        ("inside: hooks stay", "    finally:\n        for handle in handles:\n            handle.remove()",
         "    finally:\n        pass"),
        ("inside: a head that is not there", "if not 0 <= head < attention.num_heads:",
         "if head > attention.num_heads:"),
        ("inside: diagonals ahead", "np.diagonal(weights, -distance", "np.diagonal(weights, distance"),
    ],
    ("distributed.py", "28_distributed/test_distributed.py"): [
        ("distributed: the parts come in another order", "exchange(parts[(rank - step) % size], arrived)",
         "exchange(parts[(rank + step) % size], arrived)"),
        ("distributed: gradients are added up, not averaged", "self.scale = True, 1 / get_world_size()",
         "self.scale = True, 1.0"),
        ("distributed: what added up before is forgotten", "            place += parameter.grad.data\n", ""),
        ("distributed: each rank keeps its own weights", "            broadcast(tensor)\n", "            pass\n"),
        ("distributed: each rank keeps its own buffers", "                broadcast(buffer)\n",
         "                pass\n"),
        ("distributed: buckets wait for the end of backward",
         "            if not self.waiting.keys().isdisjoint(bucket.places):", "            if self.waiting:"),
        ("distributed: nobody has used it, and it moves", "zip(self.learned, used) if count]",
         "zip(self.learned, used)]"),
        ("distributed: other weights are not noticed", "if row != rows[0]]", "if False]"),
        ("distributed: a share overlaps with the next", "[self.rank::self.num_replicas]",
         "[self.rank:][:self.num_samples]"),
        ("distributed: the epoch is forgotten", "[self.seed, self.epoch]", "[self.seed, 0]"),
        ("zero: loading gives every rank all moments", "        self.collected = None\n        self.forget()\n",
         "        self.collected = None\n"),
        ("zero: each rank updates all", "if self.owner[p] != get_rank()]\n        for p, _",
         "if False]\n        for p, _"),
        ("zero: the new values stay where they are", "            broadcast(flat, src)\n", ""),
        ("split: the bias is added by each rank", "else Parameter(whole.bias.data)  # the",
         "else Parameter(2 * whole.bias.data)  # the"),
        ("split: keys and values are mixed up", "first[0] + keys, first[1] + keys]",
         "first[1] + keys, first[0] + keys]"),
    ],
    ("distributed_training.py", "28_distributed/test_distributed.py"): [
        ("trainer of ranks: each counts the same", "(unit or 1) / counted", "1 / get_world_size()"),
        ("trainer of ranks: the loss is of one rank", "total / counted\n\n", "total / counted / 2\n\n"),
    ],
    ("ranks.py", "28_distributed/test_distributed.py"): [
        ("ranks: a message is not copied", ".put(np.array(array))", ".put(array)"),
        ("ranks: the others are not woken", "            world.group.abort()\n", "            pass\n"),
        ("ranks: a message of another size is taken", "if nbytes != array.nbytes:", "if False:"),
    ],
    ("../tito/overlay.py", "tito/test_overlay.py"): [
        ("overlay: the reference comes first", "sys.meta_path.insert(0, overlay)", "sys.meta_path.append(overlay)"),
        ("overlay: the variable is ignored", "named = os.environ.get(VARIABLE)", "named = None"),
        ("overlay: subfolders are outside", "for folder in (here, *here.parents) if", "for folder in (here,) if"),
        ("overlay: old bytecode runs", "source = self.get_data(self.path)  # no cache: old code never runs",
         "return super().get_code(name)"),
        ("overlay: a notebook stumbles over stubs", "[] if in_notebook else stubs if", "stubs if"),
        ("overlay: tests see no stubs", "[] if stubs is None else", "sorted(self.open) if stubs is None else"),
        ("overlay: an error names no cell", "if lines and (cell :=", "if not lines and (cell :="),
        ("overlay: the first line that is the same is it", "rows[other + line - 1 - start]",
         "next(row for row in rows if row[2] == exported[line - 1])"),
    ],
}


class Mutation(NamedTuple):
    what: str
    file: str
    old: str
    new: str
    tests: str


MUTATIONS = [Mutation(what, file, old, new, tests) for (file, tests), rows in MISTAKES.items()
             for what, old, new in rows]
TESTS, PACKAGE = Path(__file__).resolve().parent, Path(tinytorch.__file__).parent
spec = importlib.util.spec_from_file_location("run_with", TESTS / "wrong_solutions" / "run_with.py")
run_with = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_with)


def job_for(tests, mutation=None):
    "The files `tests` on a copy of the library, up to the first that fails; an error where the table is stale."
    job = {"tests": str(TESTS / tests), "options": ["-x", "--tb=line"]}
    if mutation:
        source = (PACKAGE / mutation.file).read_text(encoding="utf-8")
        assert source.count(mutation.old) == 1, (
            f"this table is stale: {mutation.file} holds {source.count(mutation.old)} times the text\n{mutation.old}\n"
            f"update the row '{mutation.what}'")
        job |= {"file": mutation.file, "source": source.replace(mutation.old, mutation.new)}
    return job


@pytest.fixture(scope="module")
def printed(request, tmp_path_factory):
    "What pytest printed in each run that this session asks for: by mutation, and unmodified by test file."
    wanted = [item.callspec.params["mutation"] for item in request.session.items
              if getattr(item, "function", None) is test_the_suite_goes_red]
    jobs, stale = {mutation.tests: job_for(mutation.tests) for mutation in wanted}, {}
    for mutation in wanted:
        try:
            jobs[mutation] = job_for(mutation.tests, mutation)
        except AssertionError as error:
            stale[mutation] = str(error)
    return stale | run_with.outputs(jobs, tmp_path_factory.mktemp("mutations"))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what)
def test_the_suite_goes_red(mutation, printed):
    unmodified, mutated = printed[mutation.tests], printed[mutation]
    assert unmodified.endswith("status 0\n"), f"{mutation.tests} is red without any mistake:\n{unmodified}"
    assert not mutated.endswith("status 0\n"), (
        f"{mutation.tests} did not notice this mistake in {mutation.file}: {mutation.what}")
    failed = re.search(r"^(?:FAILED|ERROR) .*?::(.+?)(?: - .*)?$", mutated, re.MULTILINE)  # itself, or its fixture
    assert mutated.endswith("status 1\n") and failed, f"no test failed, something else went wrong:\n{mutated}"
    print(f"{mutation.what}: noticed by {failed[1]}")


def test_no_mistake_is_listed_twice():
    assert len({mutation.what for mutation in MUTATIONS}) == len(MUTATIONS) == len({m[1:4] for m in MUTATIONS})
