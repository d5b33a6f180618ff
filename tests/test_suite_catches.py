"""Tests of the tests: one mistake at a time goes into a copy of the library, and the suite must go red.

Each row says what is wrong, the text as it is, and the text with the mistake in it. The text must occur exactly once in
its file, and the tests named beside the file (one or two files of the chapter, without PyTorch's help) must be green
for the library as it is and must fail, as a test fails and not as an import does, for the library with the mistake.

    python -m pytest tests/test_suite_catches.py -k softmax -rP     # which test noticed
"""
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

import tinytorch

MISTAKES = {
    ("ops/elementwise.py", "01_elementwise/test_elementwise.py"): [
        ("tanh: gradient off by a thousandth", "(grad * (1 - self.out * self.out),)",
         "(grad * (1.001 - self.out * self.out),)"),
        ("sqrt: a factor of 2 is missing", "grad / (2 * self.out)", "grad / self.out"),
        ("sub: a sign is wrong", "dy = -unbroadcast(grad,", "dy = unbroadcast(grad,"),
        ("div: one of two divisions is missing", "self.x / self.y / self.y", "self.x / self.y"),
        ("relu: the gradient passes where x was negative", "grad * (self.out > 0)", "grad * (self.out >= 0)"),
        ("unbroadcast: stretched axes are not summed", "return grad.sum(axis=stretched, keepdims=True) if stretched"
         " else grad", "return grad"),
        ("maximum: where x and y tie, x takes all", "np.equal(self.x, self.y), 0.5", "np.equal(self.x, self.y), 1.0"),
        ("maximum: float64 leaks into a float32 gradient", "self.wins(self.x, self.y)).astype(grad.dtype)",
         "self.wins(self.x, self.y))"),
        ("where: both sides get the gradient", "np.where(self.condition, 0, grad)", "grad"),
        ("clamp: the gradient passes outside", "(grad * self.inside,)", "(grad * 1,)"),
    ],
    ("gradcheck.py", "01_elementwise/test_gradcheck.py"): [
        ("gradcheck: finds nothing", "if wrong.any():", "if False:"),
        ("gradcheck: looks at the first input only", "for i, x in enumerate(arrays):", "for i, x in [(0, arrays[0])]:"),
        ("gradcheck: tolerates a thousandth", "rtol=1e-5, atol", "rtol=1e-2, atol"),
        ("gradcheck: leaves its nudge behind", "        x[index] = kept\n", ""),
    ],
    ("gradcheck.py", "test_clear_failures.py"): [
        ("gradcheck: the cotangent may be the input itself", "default_rng((seed, 1))", "default_rng(seed)"),
    ],
    ("ops/reductions.py", "02_shapes/test_reductions.py"): [
        ("mean: the gradient of a sum", "self.restore(grad) / max(self.count(), 1)", "self.restore(grad)"),
        ("var: the correction is ignored", "self.count() - self.correction", "self.count()"),
        ("amax: those that tie receive all of it, each", "self.restore(grad) / self.ties.sum(axis=self.axes,"
         " keepdims=True, dtype=grad.dtype)", "self.restore(grad)"),
        ("cumsum: backward runs from the front", "np.flip(np.cumsum(np.flip(grad, axes), axis=self.dim)"
         ".reshape(grad.shape), axes)", "np.cumsum(grad, axis=self.dim).reshape(grad.shape)"),
        ("softmax: backward without the subtraction", "difference = grad - sum_along(grad * self.out, self.dim)",
         "difference = grad + 0"),
        ("softmax: large numbers overflow", "np.exp(x - shift_along(x, self.dim))",
         "np.exp(x)"),
        ("softmax: the mean is subtracted even where a score lies far above it", "x.max() - mean.min() < 16", "True"),
        ("log_softmax: the gradient of softmax", "grad - np.exp(self.out) * sum_along(",
         "grad - self.out * sum_along("),
        ("prod: divides, and so breaks at 0", "others = (left * right)",
         "others = (rows.prod(-1, keepdims=True) / rows)"),
    ],
    ("ops/reductions.py", "02_shapes/test_products.py"): [
        ("matmul: the gradient of x is not unbroadcast", "unbroadcast(grad @ transposed(y), x.shape).reshape",
         "(grad @ transposed(y)).reshape"),
        ("matmul: y is not transposed", "grad @ transposed(y)", "grad @ y"),
        ("einsum: a letter summed away gives its gradient to one place", "dx = np.broadcast_to(dx, shape)",
         "dx = np.pad(dx, [(0, n - m) for n, m in zip(shape, dx.shape)])"),
        ("einsum: a diagonal's gradient goes everywhere", "    array = np.zeros(shape, values.dtype)",
         "    array = np.ones(shape, values.dtype)"),
    ],
    ("ops/shapes.py", "02_shapes/test_shapes.py"): [
        ("index: assigned instead of added", "else:\n            np.add.at(dx, self.key, grad)",
         "else:\n            dx[self.key] = grad"),
        ("gather: assigned instead of added", "np.add.at(dx, self.key, grad)\n        return dx, None",
         "dx[self.key] = grad\n        return dx, None"),
        ("permute: backward permutes once more", "inverse = np.argsort([d % grad.ndim for d in self.dims])"
         ".astype(int)", "inverse = self.dims"),
        ("tril: the gradient comes through the zeros", "return (self.keep(grad, self.diagonal),)", "return (grad,)"),
        ("expand: the copies' gradients are not summed", "(unbroadcast(grad, self.shape),)",
         "(grad[tuple(slice(n) for n in self.shape)],)"),
        ("roll: backward rolls on", "np.roll(grad, -np.asarray(self.shifts)", "np.roll(grad, np.asarray(self.shifts)"),
        ("clone: shares its memory", "return x.copy()", "return x"),
    ],
    ("state.py", "03_tensor/test_graph.py"): [
        ("no_grad: does not end", "thread.recording = self.before", "pass"),
    ],
    ("autograd.py", "03_tensor/test_graph.py"): [
        ("graph: the last path to arrive wins", "return total + gradient, True", "return gradient, True"),
        ("graph: adds into memory of others", "if ours:", "if True:"),
        ("graph: takes every gradient for its own", "gradient.base is None and gradient.flags.writeable", "True"),
        ("graph: an operation is walked once per path", "elif node not in seen:", "else:"),
        ("graph: not freed", "if not retain_graph:", "if False:"),
        ("graph: freed although retained", "if not retain_graph:", "if True:"),
        ("graph: a gradient of the wrong shape is let through",
         "if gradient is None or gradient.shape != parent.out_shape:\n                raise",
         "if False:\n                raise"),
    ],
    ("tensor.py", "03_tensor/test_graph.py"): [
        ("backward: assigns to grad instead of adding", "self.grad += gradient", "self.grad = gradient"),
        ("backward: keeps a gradient that others hold", "gradient if fresh else np.array(gradient)", "gradient"),
        ("detach: detaches nothing", "return Tensor.wrap(self.data)\n\n    # ---- what it holds",
         "return self\n\n    # ---- what it holds"),
    ],
    ("tensor.py", "03_tensor/test_tensor.py"): [
        ("Tensor: shares the memory of what it was made from", "self.data = np.array(as_array(",
         "self.data = np.asarray(as_array("),
        ("Tensor: integers beside float32 make float64",
         "return out.astype(floats[0] if floats else thread.default_dtype)", "return out"),
        ("transpose: the same dim twice", "dims[a], dims[b] = dims[b], dims[a]", "dims[a], dims[b] = dims[a], dims[b]"),
    ],
    ("state.py", "03_tensor/test_tensor.py"): [
        ("manual_seed: ignored", "thread.generator = np.random.default_rng(seed)",
         "thread.generator = np.random.default_rng()"),
    ],
    ("nn/layers.py", "04_modules/test_linear_and_dropout.py"): [
        ("linear: the bias gets the mean", "np.ones(len(grad), grad.dtype) @ grad", "grad.mean(0)"),
        ("linear: the weight's gradient forgets all rows but one", "grad.T @ self.rows", "grad[:1].T @ self.rows[:1]"),
        ("dropout: what is kept does not grow", "1 / (1 - p) if p < 1", "1.0 if p < 1"),
        ("dropout: active in eval mode", "if not training or p == 0:", "if p == 0:"),
        ("dropout: keeps p instead of 1 - p", "dtype=np.float32) >= p", "dtype=np.float32) < p"),
    ],
    ("nn/layers.py", "04_modules/test_activations.py"): [
        ("gelu: a factor of 3 is missing", "out *= 6 * self.cubic", "out *= 2 * self.cubic"),
        ("gelu: the exact one's density is missing", "out += below", "np.copyto(out, below)"),
        ("silu: the slope of a sigmoid", "np.subtract(1, sigmoid, out=out)\n        out *= value\n",
         "np.subtract(1, sigmoid, out=out)\n        out *= sigmoid\n"),
    ],
    ("nn/module.py", "04_modules/test_module.py"): [
        ("parameters: a shared one is counted twice", "if id(thing) not in seen:", "if True:"),
        ("train: does not reach the children", "for module in self.modules():\n            module.training = mode",
         "self.training = mode"),
        ("state_dict: hands out the arrays themselves", "path: tensor.data.copy()", "path: tensor.data"),
        ("load_state_dict: does not check shapes", "if array.shape != ours[name].shape]", "if False]"),
        ("zero_grad: leaves the gradients", "parameter.grad = None", "pass"),
    ],
    ("nn/losses.py", "05_losses/test_cross_entropy.py"): [
        ("cross_entropy: ignored targets count in the mean", "float(self.weight[self.target] @ self.counts)",
         "float(self.weight[self.target].sum())"),
        ("cross_entropy: the gradient of the mean is that of the sum", "grad = grad / self.divisor if",
         "grad = grad if"),
        ("cross_entropy: ignored targets get a gradient", "grad = np.where(self.counts, grad, 0)", "grad = grad + 0"),
        ("cross_entropy: label smoothing is dropped", "(weights, ignore_index, label_smoothing, reduction)",
         "(weights, ignore_index, 0.0, reduction)"),
        ("cross_entropy: the target is not subtracted", "dx[np.arange(len(dx)), self.target] -= chosen", "pass"),
        ("cross_entropy: confident logits overflow", "largest_in_rows(x[rows])", "0"),
    ],
    ("nn/losses.py", "05_losses/test_losses.py"): [
        ("mse_loss: not squared", "(input - target).square()", "(input - target)"),
        ("bce_with_logits: pos_weight is ignored", "1 + (pos_weight - 1) * target", "1"),
    ],
    ("optim.py", "06_optimizers/test_updates.py"): [
        ("step: does nothing", "self.update_pack(pack, group)", "pass"),
        ("AdamW: weight decay goes through the moments", 'x *= 1 - group["lr"] * group["weight_decay"]\n',
         'grad = grad + group["weight_decay"] * x\n'),
        ("Adam: no bias correction", "1 - beta1 ** step, math.sqrt(1 - beta2 ** step)", "1, 1"),
        ("Adam: eps inside the root", "np.sqrt(v, out=work)\n    work += c2 * eps",
         "np.sqrt(v + c2 * eps, out=work)"),
        ("SGD: no memory of the velocity", "velocity *= momentum", "velocity *= 0"),
        ("pack: a view of other memory moves into the pack's vector", "array.base is None or array.base is self.home",
         "True"),
        ("pack: what does not live in the vector is not written back", "            pack.write_back(x)",
         "            pass"),
        ("pack: an array put in another's place is forgotten", "all([array.base is self.home for array in arrays])",
         "True"),
        ("SGD: nesterov is ignored", 'direction + momentum * velocity if group["nesterov"] else velocity', "velocity"),
    ],
    ("optim.py", "06_optimizers/test_groups_and_state.py"): [
        ("optimizer: zero_grad leaves the gradients", "                p.grad = None", "                pass"),
        ("optimizer: the step count is not saved", '{"step": pack.step, **moments}', '{"step": 1, **moments}'),
        ("decay_groups: biases decay as well", '"weight_decay": 0.0}', '"weight_decay": weight_decay}'),
    ],
    ("optim.py", "06_optimizers/test_clipping_and_schedules.py"): [
        ("clipping: each tensor for itself", "p.grad *= scale", "p.grad *= max_norm / (total_norm([p.grad]) + 1e-6)"),
        ("clipping: short gradients grow", "if scale < 1 and math.isfinite(norm)", "if math.isfinite(norm)"),
        ("schedule: never steps", "self.steps += 1", "self.steps += 0"),
        ("schedule: warm-up starts at 0", "return (step + 1) / warmup", "return step / warmup"),
        ("schedule: the cosine's floor is ignored", "return floor + (1 - floor) * 0.5", "return 0.5"),
    ],
    ("data.py", "07_data/test_loader.py"): [
        ("DataLoader: does not shuffle", "if self.shuffle else", "if False else"),
        ("DataLoader: the same order in every epoch", "return generator.permutation(", "return np.random.default_rng(0)"
         ".permutation("),
        ("DataLoader: drop_last is ignored", "(rest > 0 and not self.drop_last)", "(rest > 0)"),
    ],
    ("data.py", "07_data/test_datasets.py"): [
        ("random_split: parts overlap", "order[end - size:end]", "order[:size]"),
    ],
    ("training.py", "08_training/test_training.py"): [
        ("accumulation: a sum where a mean should be", "(loss * weight).backward()", "loss.backward()"),
        ("training: gradients of the last step are still there", "    optimizer.zero_grad()\n", ""),
        ("training: the schedule is never stepped", "            self.schedule.step()", "            pass"),
        ("evaluation: dropout stays on", "model.eval()\n    try:", "try:"),
        ("accuracy: padding counts", "counted = targets != ignore_index", "counted = targets == targets"),
    ],
    ("nn/embedding.py", "10_embeddings/test_embedding.py"): [
        ("embedding: assigned instead of added", "table[ordered[starts]] = np.add.reduceat(rows[order], starts,"
         " axis=0)", "table[indices] = rows"),
        ("embedding: of few repeats only the first counts", "table[ordered[starts]] += np.add", "0 * np.add"),
        ("embedding: padding is trained", "dweight[self.padding_idx] = 0", "pass"),
        ("embedding: negative ids count from the end", "if indices.size and not (0 <= indices.min()",
         "if indices.size and not (-vocabulary <= indices.min()"),
    ],
    ("nn/embedding.py", "10_embeddings/test_positions.py"): [
        ("positions: read through .data, never trained", "return self.weight[offset:offset + length]",
         "return Tensor(self.weight.data[offset:offset + length])"),
        ("positions: offset is ignored", "return self.weight[offset:offset + length]", "return self.weight[:length]"),
        ("sinusoidal: all columns are sines", "np.sin(angles), np.cos(angles)], axis=-1",
         "np.sin(angles), np.sin(angles)], axis=-1"),
        ("rotary: all pairs turn equally fast", "angles = position_angles(max_len, head_dim, base)",
         "angles = position_angles(max_len, head_dim, base)[:, :1] * np.ones(head_dim // 2)"),
        ("rotary: backward turns on instead of back", "rotate(grad, self.cos, -self.sin)",
         "rotate(grad, self.cos, self.sin)"),
        ("rotary: offset is ignored", "table.data[offset:offset + length]", "table.data[:length]"),
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
        ("attention: dropout does not keep the mean", "(1 / (1 - p) if p < 1 else 0.0)", "1.0"),
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
        ("heads: interleaved instead of side by side", "parts = x.reshape(*x.shape[:-1], num_heads, -1)",
         "parts = x.reshape(*x.shape[:-1], -1, num_heads).transpose(-1, -2)"),
        ("heads: not brought back in front of the features", "parts = heads.transpose(-2, -3)", "parts = heads"),
    ],
    ("nn/normalization.py", "12_normalization/test_norms.py"): [
        ("layer_norm: the mean is a constant to backward", "grad -= row_mean(grad)\n", "pass\n"),
        ("layer_norm: the variance is a constant to backward",
         "grad -= row_mean(grad)\n        grad -= xhat * overlap", "grad -= row_mean(grad)"),
        ("layer_norm: eps outside the root", "np.sqrt(mean_product(xhat, xhat) + self.eps)",
         "(np.sqrt(mean_product(xhat, xhat)) + self.eps)"),
        ("layer_norm: variance divided by n - 1", "/ max(x.shape[1], 1)\n", "/ max(x.shape[1] - 1, 1)\n"),
        ("rms_norm: the mean square is a constant to backward",
         "scale, overlap):\n        grad -= xhat * overlap", "scale, overlap):\n        pass"),
        ("norms: the weight is missing in what backward removes",
         "overlap = (drows @ (self.weight / max(self.weight.size, 1)))[:, None]",
         "overlap = row_mean(drows)"),
        ("rms_norm: eps outside the root", "np.sqrt(mean_product(rows, rows) + self.eps)",
         "(np.sqrt(mean_product(rows, rows)) + self.eps)"),
        ("norms: the bias is added twice", "out += bias.reshape(-1)", "out += 2 * bias.reshape(-1)"),
    ],
    ("diagnosis/case.py", "15_diagnosis/test_stages.py"): [
        ("diagnose: gradients are not put back", "tensor.data, tensor.grad, tensor.requires_grad = data, grad, wanted",
         "tensor.data, tensor.requires_grad = data, wanted"),
        ("diagnose: the optimizer itself makes the steps", "twin = copy.deepcopy(self.optimizer, shared)",
         "twin = self.optimizer"),
        ("diagnose: the first rate of a schedule is taken for the rate",
         'factor * group.get("initial_lr", group["lr"])', 'factor * group["lr"]'),
        ("diagnose: does not see where a value leaves the graph", "not wanted and not np.array_equal(x, y)",
         "wanted and not np.array_equal(x, y)"),
    ],
    ("diagnosis/graph.py", "15_diagnosis/test_stages.py"): [
        ("diagnose: any gradient is right", "SLOPE_TOLERANCE = 1e-2", "SLOPE_TOLERANCE = 1e2"),
    ],
    ("diagnosis/forward.py", "15_diagnosis/test_stages.py"): [
        ("diagnose: earlier tokens count as later ones", "row[at < place].max(initial=0)",
         "row[at != place].max(initial=0)"),
    ],
    ("diagnosis/data.py", "15_diagnosis/test_stages.py"): [
        ("diagnose: targets are never compared with shifted inputs", "ids[:, start + k:start + k + length]",
         "ids[:, start:start + length]"),
    ],
    ("nn/convolution.py", "16_convolution/test_convolution.py"): [
        ("conv: a pixel keeps one window's gradient", "dplanes[seen] += dcolumns[:, *place]",
         "dplanes[seen] = dcolumns[:, *place]"),
        ("conv: only the last block of windows reaches the weight", "dmatrix += self.weight_gradient(",
         "dmatrix = self.weight_gradient("),
        ("conv: a block of windows starts at the pixel of its number", "planes[:, block.start * self.stride[0]:]",
         "planes[:, block.start:]"),
        ("conv: stride and dilation swapped", "within = [step * d for step, d in zip(steps, dilation)]",
         "within = [step * d for step, d in zip(steps, stride)]"),
        ("conv: the gradient of the border is not cut off where the image is", "slice(before, size - after)",
         "slice(after, size - before)"),
        ("conv: weights start too large", "max(math.prod(self.weight.shape[1:]), 1)", "max(self.weight.shape[1], 1)"),
        ("conv: padding='same' puts the odd one in front", "(total // 2, total - total // 2)",
         "(total - total // 2, total // 2)"),
    ],
    ("nn/convolution.py", "16_convolution/test_pooling.py"): [
        ("max_pool: the last of those that tie wins", "(larger != out) * np.int32(i)",
         "(view == larger) * np.int32(i)"),
        ("max_pool: the border is 0", "border = -np.inf", "border = 0.0"),
        ("pool: a pixel keeps one window's gradient", "dplanes[seen] += self.part(grad, i)",
         "dplanes[seen] = self.part(grad, i)"),
        ("pool: windows count as apart that share their last pixel", "s > d * (k - 1) for", "s >= d * (k - 1) for"),
        ("avg_pool: always divided by the whole kernel", "if not self.count_include_pad:", "if False:"),
    ],
    ("nn/convolution.py", "16_convolution/test_batch_norm.py"): [
        ("batch_norm: the mean is a constant to backward", "dx[block] -= of_bias[block]\n", "pass\n"),
        ("batch_norm: running variance is the biased one", "(count / (count - 1))", "1"),
        ("batch_norm: momentum is what stays", "running.data += momentum * (now",
         "running.data += (1 - momentum) * (now"),
        ("batch_norm: uses the batch in eval mode", "self.training or not self.track_running_stats, self.momentum",
         "True, self.momentum"),
    ],
    ("nn/transformer.py", "13_transformer/test_components.py"): [
        ("block: no residual around the MLP", "return x + self.mlp(self.norm2(x))", "return self.mlp(self.norm2(x))"),
        ("block: post-norm is pre-norm", "if self.pre_norm:", "if True:"),
        ("relu_squared: a factor of 2 is missing", "(2 * self.positive)", "self.positive"),
        ("swiglu: the wrong half goes through the activation", "self.activate(self.gate(x)) * self.fc1(x)",
         "self.gate(x) * self.activate(self.fc1(x))"),
    ],
    ("nn/transformer.py", "13_transformer/test_gpt.py"): [
        ("GPT: looks ahead", "is_causal=True, cache", "is_causal=False, cache"),
        ("GPT: the head is not tied", "self.head.weight = self.token_embedding.weight", "init_weights(self.head, 1)"),
        ("GPT: positions are not added", "x = x + self.position_embedding(length, offset)", "pass"),
        ("GPT: residual layers start as loud as the others", "std / math.sqrt(2 * num_layers)", "std"),
        ("GPT: embeddings are not dropped out", "return self.dropout(x)\n", "return x\n"),
        ("GPT: a head of its own starts as any Linear", "None if config.tied_head else self.head", "None"),
        ("GPT: last_only gives the first", "x[..., -1:, :]", "x[..., :1, :]"),
    ],
    ("kernels.py", "18_compiled_kernels/test_twins.py"): [
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
    ("workspace.py", "tito/test_overlay.py"): [
        ("overlay: the reference comes first", "sys.meta_path.insert(0, overlay)", "sys.meta_path.append(overlay)"),
        ("overlay: the variable is ignored", "named = os.environ.get(VARIABLE)", "named = None"),
        ("overlay: subfolders are outside", "for folder in (here, *here.parents) if", "for folder in (here,) if"),
        ("overlay: old bytecode runs", "return self.source_to_code(self.get_data(self.path), self.path)  #",
         "return super().get_code(name)  #"),
        ("overlay: a notebook stumbles over stubs", "[] if in_notebook else stubs if", "stubs if"),
        ("overlay: tests see no stubs", "[] if stubs is None else", "sorted(self.open) if stubs is None else"),
        ("overlay: an error names no cell", "            if cell:\n                error.add_note",
         "            if False:\n                error.add_note"),
        ("overlay: the first line that is the same is it", "if best is None or run > best[0]:", "if best is None:"),
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
TESTS, PACKAGE = Path(__file__).parent, Path(tinytorch.__file__).parent


class Run(NamedTuple):
    "How pytest ended (0: all green, 1: a test failed, else it never came to testing), and what it printed."
    code: int
    output: str


def run(tests, folder, mutation=None):
    "The files `tests`, in a process of their own, on a copy of the library in `folder`."
    shutil.copytree(PACKAGE, folder / "tinytorch", ignore=shutil.ignore_patterns("__pycache__"))
    if mutation:
        file = folder / "tinytorch" / mutation.file
        source = file.read_text(encoding="utf-8")
        if source.count(mutation.old) != 1:
            return Run(-1, f"this table is stale: {mutation.file} holds {source.count(mutation.old)} times the text\n"
                           f"{mutation.old}\nupdate the row '{mutation.what}'")
        file.write_text(source.replace(mutation.old, mutation.new), encoding="utf-8")
    (folder / "torch.py").write_text("raise ModuleNotFoundError('hidden: our own tests must notice')\n")
    options = ["-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-c", TESTS.parent / "pyproject.toml",
               "--rootdir", TESTS.parent]
    environment = {k: v for k, v in os.environ.items() if k != "CI"}
    environment |= {"PYTHONPATH": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run([sys.executable, "-m", "pytest", *options, TESTS / tests], cwd=folder, env=environment,
                          capture_output=True, text=True, timeout=300)
    return Run(done.returncode, done.stdout + done.stderr)


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory):
    "Futures of all runs that this session will ask for, two at a time: by mutation, and unmodified by test file."
    wanted = [item.callspec.params["mutation"] for item in request.session.items
              if getattr(item, "function", None) is test_the_suite_goes_red]
    pool = ThreadPoolExecutor(2)

    def start(tests, mutation=None):
        return pool.submit(run, tests, tmp_path_factory.mktemp("copy"), mutation)

    green = {tests: start(tests) for tests in dict.fromkeys(mutation.tests for mutation in wanted)}
    yield green | {mutation: start(mutation.tests, mutation) for mutation in wanted}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.what)
def test_the_suite_goes_red(mutation, runs):
    unmodified, mutated = runs[mutation.tests].result(), runs[mutation].result()
    assert unmodified.code == 0, f"{mutation.tests} is red without any mistake:\n{unmodified.output}"
    assert mutated.code != 0, f"{mutation.tests} did not notice this mistake in {mutation.file}: {mutation.what}"
    failed = re.search(r"^FAILED .*?::(.+?)(?: - .*)?$", mutated.output, re.MULTILINE)
    assert mutated.code == 1 and failed, f"no test failed, something else went wrong:\n{mutated.output}"
    print(f"{mutation.what}: noticed by {failed[1]}")


def test_no_mistake_is_listed_twice():
    assert len({mutation.what for mutation in MUTATIONS}) == len(MUTATIONS) == len({m[1:4] for m in MUTATIONS})
