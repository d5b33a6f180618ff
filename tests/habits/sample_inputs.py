"""PyTorch's own sample inputs (`op_db`) for the operations that we have: what we make of each, beside PyTorch.

    python tests/habits/sample_inputs.py            # the table
    python tests/habits/sample_inputs.py add norm   # with what was not right, of these operations"""
import collections
import random
import sys
import warnings

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_utils import SEED

import tinytorch
from tinytorch.nn import functional

REFUSALS = (TypeError, ValueError, IndexError, RuntimeError, NotImplementedError)
DTYPES = torch.float32, torch.int64, torch.bool
RANDOM = {"bernoulli", "empty", "empty_like", "multinomial", "nn.functional.dropout", "normal", "rand_like", "randint",
          "randn", "randn_like", "uniform", "randint_like", "new_empty"}
TIES = {"argsort", "median", "msort", "sort", "topk"}  # which of equal elements comes first is not promised
CALLED = {  # where op_db's order of arguments, or its copy of the input, is not that of the function
    "einsum": lambda tensors, equation: tinytorch.einsum(equation, tensors),
    "nn.functional.embedding": lambda weight, ids, **options: functional.embedding(ids, weight, **options),
    "zero_": lambda x: x.clone().zero_(),
    "where": tinytorch.Tensor.where,
}
MOST = 40  # samples of one operation and dtype, spread evenly: a few operations have thousands


def ours_of(name):
    "Return our function or method of that name in op_db, None if there is none."
    parent, _, last = name.rpartition(".")
    if name in CALLED:
        return CALLED[name]
    if parent == "nn.functional":
        return getattr(functional, last, None)
    if parent:
        return None
    method = getattr(tinytorch.Tensor, last, None)
    if isinstance(method, property):
        return method.fget
    function = getattr(tinytorch, last, None)
    return function if callable(function) else method


def translated(value, leaves):
    "Return an argument of PyTorch's as one of ours; tensors that want a gradient are added to `leaves`."
    if isinstance(value, torch.Tensor):
        ours = tinytorch.Tensor(value.detach().numpy(), requires_grad=value.requires_grad)
        if value.requires_grad:
            leaves.append((value, ours))
        return ours
    if isinstance(value, (list, tuple)) and not isinstance(value, torch.Size):
        return type(value)(translated(item, leaves) for item in value)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, dict):
        return {name: translated(item, leaves) for name, item in value.items()}
    if isinstance(value, torch.dtype):
        return getattr(tinytorch, str(value).removeprefix("torch."))
    if isinstance(value, torch.memory_format):
        return getattr(tinytorch, str(value).removeprefix("torch."), value)
    if isinstance(value, torch.device):
        return tinytorch.device(str(value))
    return value


def results(value):
    "Return the tensors of a result, in a list."
    if isinstance(value, (list, tuple)):
        return [tensor for item in value for tensor in results(item)]
    return [value]


def difference(theirs, ours, leaves):
    "Return what differs in values, dtypes or gradients; '' for nothing."
    theirs, ours = results(theirs), results(ours)
    if len(theirs) != len(ours):
        return f"{len(ours)} results, expected {len(theirs)}"
    wanted = []
    for expected, got in zip(theirs, ours):
        if not isinstance(expected, torch.Tensor):
            if expected != got:
                return f"{got}, expected {expected}"
            continue
        if not isinstance(got, tinytorch.Tensor):
            return f"a {type(got).__name__}, expected a Tensor"
        if str(got.dtype) != str(expected.dtype).removeprefix("torch."):
            return f"dtype {got.dtype}, expected {expected.dtype}"
        if not agree(got.data, expected.detach().numpy()):
            return f"{got.shape} {got.data!r:.300}, expected {tuple(expected.shape)} {expected.detach()!r:.300}"
        if expected.requires_grad:
            wanted.append((expected, got))
    return gradients_differ(wanted, leaves)


def gradients_differ(wanted, leaves):
    if not wanted:
        return ""
    rng = np.random.default_rng(0)
    cotangents = [rng.standard_normal(expected.shape).astype(np.float32) for expected, _ in wanted]
    try:
        theirs = torch.autograd.grad([expected for expected, _ in wanted], [leaf for leaf, _ in leaves],
                                     [torch.tensor(c) for c in cotangents], allow_unused=True)
    except RuntimeError:  # PyTorch has no derivative
        return ""
    for (_, got), cotangent in zip(wanted, cotangents):
        if got.requires_grad:
            got.backward(tinytorch.Tensor(cotangent))
    for (_, ours), gradient in zip(leaves, theirs):
        got, expected = array_of(ours.grad), None if gradient is None else gradient.numpy()
        if got is None or expected is None:
            if np.any(got if expected is None else expected):
                return f"gradient {got}, expected {expected}"
        elif not agree(got, expected, 1e-3):
            return f"gradient {got!r:.300}, expected {expected!r:.300}"
    return ""


def array_of(gradient):
    return getattr(gradient, "data", gradient) if gradient is not None else None


def agree(got, expected, tolerance=1e-4):
    if got.shape != expected.shape:
        return False
    if expected.dtype.kind != "f":
        return np.array_equal(got, expected)
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=1)
    return np.allclose(got, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def samples_of(op, dtype, requires_grad):
    "Yield what `op.sample_inputs` yields, without its searches of the stack: in a large process, ten times all else."
    samples, end = iter(op.sample_inputs_func(op, "cpu", dtype, requires_grad)), object()
    while True:
        torch.default_generator.manual_seed(SEED)
        random.seed(SEED)
        np.random.seed(SEED)
        if (sample := next(samples, end)) is end:
            return
        yield sample


def outcomes(names=()):
    "Yield (operation, dtype, kind, detail): kind is right, wrong, refused or crash."
    for op in op_db:
        ours = ours_of(op.name)
        if ours is None or op.name in RANDOM or names and op.name not in names:
            continue
        for dtype in DTYPES:
            if dtype not in op.dtypes:
                continue
            gradient = dtype == torch.float32 and op.supports_autograd
            torch.manual_seed(0)
            samples = [sample for sample in samples_of(op, dtype, gradient) if not sample.kwargs.get("dropout_p")]
            for sample in samples[::-(-len(samples) // MOST) or 1]:
                yield f"{op.name} {op.variant_test_name}".strip(), str(dtype)[6:], *outcome(op, ours, sample)


def outcome(op, ours, sample):
    try:
        theirs = op(sample.input, *sample.args, **sample.kwargs)
    except Exception as error:  # PyTorch refuses its own sample
        return "right", f"PyTorch: {error}"
    leaves = []
    detail = f"{str(sample.summary() if hasattr(sample, 'summary') else sample):.300}"
    try:
        arguments = translated((sample.input, *sample.args), leaves)
        options = translated(sample.kwargs, leaves)
        found = ours(*arguments, **options)
        if op.name == "argsort":
            theirs, found = sample.input.gather(sample.kwargs.get("dim", -1), theirs), \
                arguments[0].gather(sample.kwargs.get("dim", -1), found)
        elif op.name in TIES and isinstance(theirs, tuple):
            theirs, found = theirs[0], found[0]
        wrong = difference(theirs, found, leaves)
    except REFUSALS as error:
        return "refused", f"{detail}: {type(error).__name__}: {error}"
    except Exception as error:
        return "crash", f"{detail}: {type(error).__name__}: {error}"
    return ("wrong", f"{detail}: {wrong}") if wrong else ("right", "")


def main(names):
    warnings.simplefilter("ignore")
    table = collections.defaultdict(collections.Counter)
    for name, dtype, kind, detail in outcomes(names):
        table[dtype][kind] += 1
        if kind != "right":
            table[f"{name} {dtype}"][kind] += 1
            if names or kind in ("wrong", "crash"):
                print(f"{name} {dtype}: {kind}: {detail}\n")
    for row, counts in table.items():
        print(f"{row:40}", dict(counts))


if __name__ == "__main__":
    main(sys.argv[1:])
