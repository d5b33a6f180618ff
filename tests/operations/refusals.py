"""The column of the table that says what each operation must refuse, after PyTorch's documented errors.

An expression is tried in both libraries: `t` is tinytorch or PyTorch, `m` of shape (2, 3), `v` (3,), `cube` (2, 3, 4),
`image` (1, 3, 5, 5), `i` two integers, `b` two booleans. Words: what our error must say. Where PyTorch takes what we
refuse, the third entry says why we do.
"""
import functools
from typing import NamedTuple


class Refusal(NamedTuple):
    expression: str
    words: str
    why: str = ""


ON_TENSORS = """neg exp expm1 log log1p sqrt rsqrt square reciprocal abs sign sin cos tanh sigmoid relu clone tan atan
 arctan sinh cosh asinh arcsinh exp2 erf asin acos arcsin arccos atanh arctanh acosh arccosh log2 log10 floor ceil round
 trunc fix frac absolute negative positive nan_to_num isnan isinf isfinite logical_not count_nonzero nonzero argwhere
 bitwise_not clamp_min clamp_max sum mean amax amin var std logsumexp prod argmax argmin max min cumsum softmax
 log_softmax matmul mm bmm outer norm any all cumprod diff trace median aminmax argsort sort topk unique bincount dot
 inner mv t ravel unbind flatten flip roll split chunk tril triu diagonal diag permute transpose squeeze unsqueeze
 reshape fliplr flipud repeat_interleave tile""".split()  # functions whose first argument is a tensor
NEEDS = {"clamp_min": "0", "clamp_max": "0", "logsumexp": "0", "cumsum": "0", "softmax": "0",
         "log_softmax": "0", "matmul": "m", "mm": "m", "bmm": "m", "outer": "m", "cumprod": "0", "topk": "1",
         "dot": "v", "inner": "v", "mv": "v",
         "flip": "(0,)", "roll": "1", "split": "1", "chunk": "1", "permute": "(0,)", "transpose": "0, 1",
         "unsqueeze": "0", "reshape": "(1,)", "repeat_interleave": "1", "tile": "(1,)"}
OF_TWO = """add sub mul div pow maximum minimum subtract multiply hypot logaddexp atan2 arctan2 eq ne lt le gt ge less
 less_equal greater greater_equal not_equal logical_and logical_or logical_xor isclose divide true_divide remainder fmod
 floor_divide""".split()  # tensors that are stretched to one shape
OF_A_DIM = """sum mean amax amin var std prod argmax argmin max min cumsum softmax log_softmax logsumexp any all cumprod
 median argsort sort unbind diff squeeze""".split()
IN_NN = """relu leaky_relu gelu silu softplus logsigmoid dropout elu selu celu relu6 hardtanh mish softsign tanhshrink
 hardsigmoid""".split()

REFUSED = {
    "clamp": [("m.clamp('a', 1)", "clamp min str"), ("m.clamp()", "clamp neither")],
    "clip": [("m.clip('a', 1)", "min str")],
    "where": [("t.where(b, m, m)", "where (2,) (2, 3)"), ("t.where('a', m, m)", "condition str")],
    "masked_fill": [("m.masked_fill(b, 0.0)", "(2,) (2, 3)"), ("m.masked_fill('a', 0.0)", "mask")],
    "matmul": [("m @ t.ones(4, 5)", "matmul (2, 3) (4, 5)"), ("m @ t.tensor(2.0)", "matmul (2, 3) ()")],
    "mm": [("m.mm(cube)", "mm (2, 3) (2, 3, 4)")],
    "bmm": [("m.bmm(cube)", "bmm (2, 3) (2, 3, 4)")],
    "outer": [("m.outer(v)", "outer (2, 3)")],
    "einsum": [("t.einsum('ij,jk->ik', m, t.ones(4, 5))", "einsum (2, 3) (4, 5)"),
               ("t.einsum('ijk->i', m)", "einsum ijk (2, 3)"), ("t.einsum('ij,jk->ik', m)", "einsum 2")],
    "reshape": [("m.reshape(4, 2)", "reshape (2, 3)"), ("m.reshape(-1, -1)", "reshape (2, 3)")],
    "view": [("m.view(5)", "(2, 3) (5"), ("m.view('a')", "str")],
    "permute": [("m.permute(0)", "permute (2, 3)"), ("m.permute(0, 0)", "permute (2, 3)"),
                ("m.permute(0, 2)", "permute 2 (2, 3)")],
    "transpose": [("m.transpose(0, 2)", "transpose 2")],
    "squeeze": [("m.squeeze((0, 0))", "squeeze (0, 0)")], "unsqueeze": [("m.unsqueeze(5)", "unsqueeze 5")],
    "expand": [("m.expand(4, 3)", "expand (2, 3)"), ("m.expand(3)", "expand (2, 3)")],
    "broadcast_to": [("m.broadcast_to((4, 3))", "(2, 3) (4, 3)")],
    "flatten": [("m.flatten(2)", "flatten 2"), ("m.flatten(1, 0)", "flatten end_dim 0 start_dim 1"),
                ("cube.flatten(-1, -2)", "flatten end_dim -2 start_dim -1")],
    "flip": [("m.flip(2)", "flip 2 (2, 3)"), ("m.flip((0, 0))", "flip 0")],
    "roll": [("m.roll(1, 2)", "roll 2 (2, 3)"), ("m.roll((1, 2), 0)", "roll shifts dims")],
    "repeat": [("m.repeat(2)", "repeat (2, 3)"), ("m.repeat(-1, 1)", "repeat -1")],
    "cat": [("t.cat([m, t.ones(3, 4)])", "cat (2, 3) (3, 4)"), ("t.cat([m, m], 2)", "cat 2 (2, 3)"),
            ("t.cat([])", "cat tensors"), ("t.cat([m, 'a'])", "cat tensors str")],
    "stack": [("t.stack([m, t.ones(3, 4)])", "stack tensors 2, 3) 3, 4)"), ("t.stack([])", "stack tensors"),
              ("t.stack([m, m], 4)", "4")],
    "split": [("m.split([1, 1], 1)", "split 2 3"), ("m.split(1, 2)", "split 2"), ("m.split(-1)", "split -1")],
    "chunk": [("m.chunk(2, 2)", "2"), ("m.chunk(0)", "chunk 0")],
    "tril": [("v.tril()", "tril (3,)"), ("m.tril(0.5)", "tril diagonal 0.5")],
    "triu": [("v.triu()", "triu (3,)"), ("m.triu('a')", "triu diagonal 'a'")],
    "pad": [("t.pad(m, (1,))", "pad 1"), ("t.pad(m, (1, 1), mode='mirror')", "pad mirror"),
            ("t.pad(m, (-4, 0))", "pad -4")],
    "getitem": [("m[2]", "index 2 (2, 3)"), ("m[0, 0, 0]", "index 3 (2, 3)"), ("m[1.0]", "index float"),
                ("m[t.tensor([0.0])]", "index float32 long")],
    "gather": [("m.gather(1, i)", "gather (2, 3) (2,)"), ("m.gather(1, t.tensor([[3]]))", "gather 3 (2, 3)"),
               ("m.gather(1, m)", "gather integer indices")],
    "index_select": [("m.index_select(1, t.tensor([3]))", "index 3"),
                     ("m.index_select(2, i)", "index_select 2")],
    "linear": [("t.linear(m, t.ones(4, 5))", "linear (2, 3) (4, 5)"),
               ("t.linear(m, t.ones(4, 3), t.ones(3))", "linear (4, 3) (3,)"),
               ("t.linear(m, 'a')", "linear weight str")],
    "dropout": [("t.dropout(m, 2.0)", "dropout p 2.0"), ("t.dropout(m, 'a')", "dropout p str")],
    "embedding": [("t.embedding(t.tensor([0, 7]), m)", "embedding 7 2"),
                  ("t.embedding(t.tensor([0.0]), m)", "embedding float32"),
                  ("t.embedding(i, 'a')", "embedding weight str")],
    "layer_norm": [("t.layer_norm(m, (4,))", "layer_norm (2, 3) (4,)"),
                   ("t.layer_norm(m, (3,), 'a')", "layer_norm weight str")],
    "rms_norm": [("t.rms_norm(m, (3,), t.ones(2))", "rms_norm (2,) (3,)"), ("t.rms_norm(m, (4,))", "rms_norm (4,)")],
    "normalize": [("t.normalize(m, dim=5)", "5")],
    "mse_loss": [("t.mse_loss(m, t.ones(2))", "mse_loss (2, 3) (2,)"),
                 ("t.mse_loss(m, m, reduction='a')", "reduction a")],
    "l1_loss": [("t.l1_loss(m, t.ones(2))", "l1_loss (2, 3) (2,)"), ("t.l1_loss(m, 'a')", "l1_loss target str")],
    "binary_cross_entropy": [("t.binary_cross_entropy(m * 2, m)", "binary_cross_entropy 2 logits"),
                             ("t.binary_cross_entropy(m, v)", "(2, 3) (3,)")],
    "binary_cross_entropy_with_logits": [("t.binary_cross_entropy_with_logits(m, v)", "(2, 3) (3,)")],
    "cross_entropy": [("t.cross_entropy(m, t.tensor([0, 1, 2]))", "cross_entropy (2, 3) (3,)"),
                      ("t.cross_entropy(m, t.tensor([0, 3]))", "cross_entropy 3"),
                      ("t.cross_entropy(m, i, reduction='a')", "reduction a"),
                      ("t.cross_entropy(m, i, label_smoothing=2.0)", "label_smoothing 2.0")],
    "nll_loss": [("t.nll_loss(m, t.tensor([0, 3]))", "nll_loss 3"), ("t.nll_loss(m, m)", "nll_loss float32")],
    "scaled_dot_product_attention": [
        ("t.scaled_dot_product_attention(m, t.ones(4, 5), t.ones(4, 5))", "attention (2, 3) (4, 5)"),
        ("t.scaled_dot_product_attention(m, m, m, dropout_p=2.0)", "dropout_p 2.0"),
        ("t.scaled_dot_product_attention(t.ones(1, 5, 3, 2), *[t.ones(1, 2, 3, 2)] * 2, enable_gqa=True)",
         "num_heads 5 num_kv_heads 2")],
    "conv2d": [("t.conv2d(image, t.ones(4, 2, 3, 3))", "conv2d (1, 3, 5, 5) (4, 2, 3, 3)"),
               ("t.conv2d(image, t.ones(4, 3, 3, 3), stride=0)", "stride 0"),
               ("t.conv2d(image, t.ones(4, 3, 3, 3), dilation=3)", "conv2d 7 5"),
               ("t.conv2d(image, t.ones(4, 3, 3, 3), t.ones(3))", "bias (3,)")],
    "conv1d": [("t.conv1d(cube, t.ones(4, 2, 3))", "conv1d (2, 3, 4) (4, 2, 3)")],
    "max_pool2d": [("t.max_pool2d(image, 7)", "max_pool 7"), ("t.max_pool2d(image, 2, padding=2)", "padding 2")],
    "max_pool1d": [("t.max_pool1d(cube, 9)", "max_pool 9"), ("t.max_pool1d(cube, 2, stride=0)", "stride 0")],
    "avg_pool2d": [("t.avg_pool2d(image, 7)", "avg_pool2d 7"), ("t.avg_pool2d(image, 'a')", "kernel_size a")],
    "avg_pool1d": [("t.avg_pool1d(cube, 9)", "avg_pool1d 9"), ("t.avg_pool1d(cube, 2, padding=2)", "padding 2")],
    "batch_norm": [("t.batch_norm(image, None, None)", "batch_norm running_mean"),
                   ("t.batch_norm(image, v, v, weight=t.ones(2))", "weight (2,)"),
                   ("t.batch_norm(t.ones(1, 3), None, None, training=True)", "batch_norm (1, 3)")],
    "type_as": [("m.type_as('a')", "type_as str")],
    "view_as": [("m.view_as(v)", "(2, 3) (3,)")],
    "reshape_as": [("m.reshape_as(v)", "(2, 3) (3,)")],
    "expand_as": [("m.expand_as(t.ones(4, 3))", "(2, 3) (4, 3)")],
    "dist": [("m.dist(t.ones(4, 5))", "(2, 3) (4, 5)")],
    "lerp": [("m.lerp(t.ones(4, 5), 0.5)", "(2, 3) (4, 5)")],
    "addcmul": [("m.addcmul(t.ones(4, 5), m)", "(2, 3) (4, 5)")],
    "addcdiv": [("m.addcdiv(t.ones(4, 5), m)", "(2, 3) (4, 5)")],
    "bitwise_and": [("m.bitwise_and(m)", "bitwise_and float32")],
    "bitwise_or": [("m.bitwise_or(m)", "bitwise_or float32")],
    "bitwise_xor": [("m.bitwise_xor(m)", "bitwise_xor float32")],
    "bitwise_not": [("m.bitwise_not()", "bitwise_not float32")],
    "shift": [("m << m", "left_shift input types")],
    "norm": [("m.norm(2, 5)", "5"), ("m.norm('a')", "norm a")],
    "trace": [("cube.trace()", "trace (2, 3, 4)")],
    "topk": [("m.topk(4)", "topk 4 (2, 3)"), ("m.topk(1, 5)", "topk 5"), ("m.topk(1.5)", "topk k 1.5")],
    "bincount": [("m.bincount()", "bincount float32"), ("(i - 1).bincount()", "bincount negative")],
    "multinomial": [("m.multinomial(4)", "multinomial 4 3"), ("(m - 3).multinomial(1)", "multinomial weights")],
    "dot": [("m.dot(m)", "dot (2, 3)"), ("v.dot(t.ones(2))", "dot (3,) (2,)")],
    "inner": [("m.inner(t.ones(4, 5))", "(2, 3) (4, 5)")],
    "mv": [("m.mv(m)", "mv (2, 3)")],
    "addmm": [("m.addmm(m, m)", "(2, 3)")],
    "addmv": [("v.addmv(m, t.ones(2))", "(2, 3) (2,)")],
    "baddbmm": [("cube.baddbmm(m, m)", "baddbmm (2, 3)")],
    "cdist": [("t.cdist(m, t.ones(2, 4))", "cdist (2, 3) (2, 4)")],
    "t": [("cube.t()", "t (2, 3, 4)")],
    "swapaxes": [("m.swapaxes(0, 2)", "2")],
    "swapdims": [("m.swapdims(0, 2)", "2")],
    "movedim": [("m.movedim(0, 2)", "2"), ("m.movedim((0, 0), (0, 1))", "movedim")],
    "moveaxis": [("m.moveaxis(0, 2)", "2")],
    "unflatten": [("m.unflatten(1, (2, 2))", "unflatten (2, 2)"), ("m.unflatten(5, (1,))", "5")],
    "narrow": [("m.narrow(1, 2, 2)", "narrow (2, 3)"), ("m.narrow(1, 0, -1)", "narrow -1")],
    "select": [("m.select(0, 5)", "5"), ("m.select(5, 0)", "5")],
    "unfold": [("m.unfold(1, 5, 1)", "unfold 5"), ("m.unfold(1, 1, 0)", "unfold 0")],
    "fliplr": [("v.fliplr()", "fliplr (3,)")],
    "flipud": [("t.tensor(1.0).flipud()", "flipud ()")],
    "repeat_interleave": [("m.repeat_interleave(-1)", "-1"), ("m.repeat_interleave(i, 1)", "repeat_interleave 2 3")],
    "tile": [("m.tile('a')", "tile str"), ("m.tile(-1)", "-1")],
    "diagonal": [("v.diagonal()", "diagonal (3,)"), ("m.diagonal(0, 1, 1)", "1")],
    "diag": [("cube.diag()", "diag (2, 3, 4)")],
    "broadcast_tensors": [("t.broadcast_tensors(m, t.ones(4))", "(2, 3) (4,)")],
    "hstack": [("t.hstack([])", "tensors"), ("t.hstack([m, t.ones(3, 3)])", "(2, 3) (3, 3)")],
    "vstack": [("t.vstack([])", "tensors"), ("t.vstack([m, t.ones(2, 2)])", "(2, 3) (2, 2)")],
    "meshgrid": [("t.meshgrid(v, v, indexing='yx')", "meshgrid indexing yx"),
                 ("t.meshgrid(m, m, indexing='ij')", "meshgrid (2, 3)")],
    "cartesian_prod": [("t.cartesian_prod(m, v)", "cartesian_prod (2, 3)")],
    "masked_select": [("m.masked_select(b)", "(2,) (2, 3)"), ("m.masked_select(m)", "masked_select float32")],
    "take_along_dim": [("m.take_along_dim(t.tensor([[5]]), 1)", "5",
                        "PyTorch does not look at the index here"), ("m.take_along_dim(m, 1)", "float32"),
                       ("m.take_along_dim(t.tensor([0]), 0)", "indices (1,) 2")],
    "scatter": [("m.scatter(1, t.tensor([[5]]), 1.0)", "scatter 5"),
                ("m.scatter(5, t.tensor([[0]]), 1.0)", "scatter 5")],
    "scatter_add": [("m.scatter_add(1, t.tensor([[5]]), m)", "scatter_add 5")],
    "index_add": [("m.index_add(0, t.tensor([5, 0]), m)", "index_add 5"),
                  ("m.index_add(0, m, m)", "index_add float32")],
    "index_copy": [("m.index_copy(0, t.tensor([5, 0]), m)", "index_copy 5")],
    "index_fill": [("m.index_fill(0, t.tensor([5]), 1.0)", "index_fill 5")],
    "searchsorted": [("t.searchsorted('a', v)", "sorted_sequence str"),
                     ("t.searchsorted(m, cube)", "(2, 3) (2, 3, 4)")],
    "bucketize": [("t.bucketize(v, m)", "boundaries (2, 3)")],
    "new_zeros": [("m.new_zeros('a')", "new_zeros str"), ("m.new_zeros(-1)", "-1")],
    "new_ones": [("m.new_ones(-1)", "-1")],
    "new_empty": [("m.new_empty(-1)", "-1")],
    "new_full": [("m.new_full((2,), 'a')", "new_full fill_value str"), ("m.new_full(2, 1.0)", "new_full size")],
    "new_tensor": [("m.new_tensor('a')", "str")],
    "var_mean": [("t.var_mean(m, 5)", "5"), ("t.var_mean('a')", "var_mean input str")],
    "std_mean": [("t.std_mean(m, 5)", "5"), ("t.std_mean('a')", "std_mean input str")],
    "softmin": [("t.softmin(m, 5)", "5")],
    "glu": [("t.glu(m)", "glu (2, 3)")],
    "one_hot": [("t.one_hot(m)", "one_hot float32"), ("t.one_hot(t.tensor([3]), 3)", "one_hot 3")],
    "group_norm": [("t.group_norm(m, 2)", "group_norm 2 (2, 3)")],
    "adaptive_avg_pool1d": [("t.adaptive_avg_pool1d(cube, -1)", "output_size -1")],
    "adaptive_avg_pool2d": [("t.adaptive_avg_pool2d(image, 'a')", "output_size str")],
    "smooth_l1_loss": [("t.smooth_l1_loss(m, m, beta=-1.0)", "beta -1"),
                       ("t.smooth_l1_loss(m, m, reduction='a')", "reduction a")],
    "huber_loss": [("t.huber_loss(m, m, delta=0.0)", "delta 0"), ("t.huber_loss(m, m, reduction='a')", "reduction a")],
    "kl_div": [("t.kl_div(m, m, reduction='a')", "reduction a")],
    "cosine_similarity": [("t.cosine_similarity(m, t.ones(4, 5))", "(2, 3) (4, 5)")],
    "pairwise_distance": [("t.pairwise_distance(m, t.ones(4, 5))", "(2, 3) (4, 5)")],
    "mean": [("i.mean()", "mean int64"), ("b.mean()", "mean bool")],
    "var": [("i.var()", "var int64")],
    "std": [("b.std()", "std bool")],
    "amax": [("t.ones(0, 3).amax()", "amax (0, 3)")],
    "amin": [("t.ones(2, 0).amin(1)", "amin (2, 0)")],
    "max": [("t.ones(2, 0).max(1)", "max")],
    "argmax": [("t.ones(2, 0).argmax(1)", "argmax empty")],
}
# Nothing in their one argument, a tensor, can be wrong; or they are not PyTorch's.
NOTHING = {"T", "mT", "unpacked", "contiguous", "cpu", "double", "int", "short", "half", "byte", "type",
           "packed_attention", "rotary", "relu_squared", "fake_quantize", "integer_product",
           "sum_over_ranks", "copy_to_ranks"}


@functools.cache
def column():
    "Return {name of a row: its refusals}."
    made = {name: [Refusal(*row) for row in rows] for name, rows in REFUSED.items()}
    for name in ON_TENSORS:
        more = f", {NEEDS[name]}" if name in NEEDS else ""
        made.setdefault(name, []).append(Refusal(f"t.{name}('a'{more})", f"{name} input str"))
    for name in IN_NN:
        made.setdefault(name, []).append(Refusal(f"t.{name}('a')", f"{name} input str"))
    for name in OF_TWO:
        made.setdefault(name, []).append(Refusal(f"m.{name}(t.ones(4, 5))", "(2, 3) (4, 5)"))
        made[name].append(Refusal(f"m.{name}('a')", "str"))
    for name in OF_A_DIM:
        made.setdefault(name, []).append(Refusal(f"m.{name}({'1, ' if name == 'diff' else ''}5)", "dim 5"))
    return made
