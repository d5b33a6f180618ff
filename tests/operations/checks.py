"""How a case of the table is run, here and in PyTorch, and what is compared."""
import importlib

import numpy as np

import tinytorch
from tinytorch.autograd import run_backward, topological_order
from tinytorch.ops.elementwise import Cast, Function
from tinytorch.tensor import Tensor

TOLERANCE = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-10}


class Library:
    "Names of a library, looked up in several places in order; `used` remembers which were asked for."
    def __init__(self, *places):
        self.places, self.used = places, set()

    def __getattr__(self, name):
        self.used.add(name)
        for place in self.places:
            if hasattr(place, name):
                return getattr(place, name)
        raise AttributeError(f"neither of {', '.join(p.__name__ for p in self.places)} has {name}")


class Ours(Library):
    is_torch = False

    def __init__(self):
        super().__init__(importlib.import_module("tinytorch.nn.functional"), tinytorch)

    def leaf(self, array, wanted=True):
        "a Tensor around `array` itself, whatever its layout"
        tensor = Tensor.wrap(array)
        tensor.requires_grad = wanted and array.dtype.kind == "f"
        return tensor

    def array(self, tensor):
        return tensor.data

    def gradient(self, tensor):
        return None if tensor.grad is None else tensor.grad.data


class Theirs(Library):
    is_torch = True

    def __init__(self, torch):
        super().__init__(torch.nn.functional, torch)
        self.tensor = torch.tensor

    def leaf(self, array, wanted=True):
        return self.tensor(array, requires_grad=wanted and array.dtype.kind == "f")

    def array(self, tensor):
        return tensor.detach().numpy()

    def gradient(self, tensor):
        return None if tensor.grad is None else tensor.grad.numpy()


def leaves_of(t, case, arrays):
    return [t.leaf(array, not domain.fixed) for array, domain in zip(arrays, case.row.inputs)]


def outputs_of(t, case, leaves):
    "what the case computes: a list of tensors, random numbers starting afresh each time"
    tinytorch.manual_seed(7)
    result = case.call(t, *leaves)
    return list(result) if isinstance(result, (tuple, list)) else [result]


def joined(t, outputs):
    "the outputs that have a gradient, as one tensor (several: flattened, end to end); None if there are none"
    floats = [out for out in outputs if out.requires_grad]
    return t.cat([out.reshape(-1) for out in floats]) if len(floats) > 1 else floats[0] if floats else None


def evaluate(t, case, arrays, lay=lambda array: array):
    "(values, gradients) of a case at `arrays`, for a random cotangent laid out by `lay`"
    leaves = leaves_of(t, case, arrays)
    outputs = outputs_of(t, case, leaves)
    root = joined(t, outputs)
    if root is not None:
        cotangent = np.random.default_rng(1).standard_normal(tuple(root.shape)).astype(t.array(root).dtype)
        if t.is_torch:
            root.backward(t.tensor(cotangent))
        elif root.grad_fn is None:  # an operation that had nothing to do
            root.backward(lay(cotangent))
        else:
            run_backward(root.grad_fn, lay(cotangent))  # `backward` would copy it first
    return [t.array(out) for out in outputs], [t.gradient(leaf) for leaf in leaves]


def assert_agree(what, got, expected, tolerance):
    "`got` is `expected`, within `tolerance` of the larger of 1 and the largest expected; infinities and nan agree too"
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    if expected.dtype.kind != "f":
        assert np.array_equal(got, expected), f"{what}: {got}, expected {expected}"
        return
    finite = expected[np.isfinite(expected)]
    scale = max(1.0, np.abs(finite).max(initial=0))
    wrong = ~np.isclose(got, expected, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
    if wrong.any():
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise AssertionError(f"{what}: wrong at {wrong.sum()} of {wrong.size} places, first at {first}: "
                             f"{got[first]!r}, expected {expected[first]!r}")


def assert_same_results(what, got, expected, tolerance):
    "values and gradients agree; a gradient that nobody computed counts as zeros"
    assert len(got[0]) == len(expected[0]), f"{what}: {len(got[0])} outputs, expected {len(expected[0])}"
    for i, (value, reference) in enumerate(zip(got[0], expected[0])):
        assert_agree(f"{what}: output {i}", value, reference, tolerance)
    for i, (gradient, reference) in enumerate(zip(got[1], expected[1])):
        if gradient is None or reference is None:
            assert not np.any(gradient) and not np.any(reference), f"{what}: only one has a gradient of input {i}"
        else:
            assert_agree(f"{what}: gradient of input {i}", gradient, reference, tolerance)


def frozen(array):
    "a copy that nobody can write to"
    array = np.array(array)
    array.flags.writeable = False
    return array


def transposed(array):
    "stored column by column"
    return array.T.copy().T


def strided(array):
    "every second element, along each dim, of something larger"
    larger = np.zeros([2 * n for n in array.shape], array.dtype)
    view = larger[(slice(None, None, 2),) * array.ndim] if array.ndim else larger
    view[...] = array
    return view


def reversed_order(array):
    "stored back to front"
    turn = (slice(None, None, -1),) * array.ndim
    return array[turn].copy()[turn]


def graph(t, case, arrays):
    "the root of the case's graph, with the leaves"
    leaves = leaves_of(t, case, arrays)
    root = joined(t, outputs_of(t, case, leaves))
    return root, leaves


def saved_arrays(value):
    "all arrays that an operation keeps, in whatever tuples and lists"
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, Function):
        return [a for name, kept in vars(value).items() if name != "parents" for a in saved_arrays(kept)]
    if isinstance(value, dict):
        value = tuple(value.values())
    return [a for part in value for a in saved_arrays(part)] if isinstance(value, (tuple, list)) else []


def is_fresh(gradient, incoming):
    "whether the walk takes this gradient as memory that is its own, to be added into"
    return gradient is not incoming and isinstance(gradient, np.ndarray) and gradient.base is None \
        and gradient.flags.writeable


def assert_backward_is_clean(operation, incoming, arrays):
    """`operation.backward(incoming)`, held to its contract: one gradient per input, in the dtype that it got, nothing
    that it was given or has saved is changed, and every gradient is `incoming`, a view, or memory of its own."""
    name, kept = type(operation).__name__, saved_arrays(operation)
    before = [(array, array.copy()) for array in [incoming, *kept, *arrays]]
    gradients = operation.backward(incoming)
    for array, copy in before:
        same = np.array_equal(array, copy, equal_nan=copy.dtype.kind == "f")
        assert same, f"{name}.backward changed what it was given or saved"
    assert isinstance(gradients, tuple) and len(gradients) == len(operation.parents), \
        f"{name}.backward returned {gradients!r} for {len(operation.parents)} inputs"
    for i, gradient in enumerate(gradients):
        if gradient is None:
            assert operation.parents[i] is None, f"{name}.backward: no gradient for input {i}, which wants one"
            continue
        expected = operation.source if isinstance(operation, Cast) else incoming.dtype
        assert gradient.dtype == expected, f"{name}.backward: gradient {i} is {gradient.dtype}, expected {expected}"
        aliases = any(np.may_share_memory(gradient, array) for array in [*kept, *arrays])
        assert not aliases, f"{name}.backward: gradient {i} is the memory of an input or of a saved array"
        fresh = is_fresh(gradient, incoming)
        hidden = fresh and np.may_share_memory(gradient, incoming)
        assert not hidden, f"{name}.backward: gradient {i} hides that it is `grad`"
        for other in gradients[:i]:
            if other is not None and (fresh or is_fresh(other, incoming)):
                assert not np.may_share_memory(gradient, other), f"{name}.backward: two gradients share memory"
    return gradients


def walk_with_care(root, cotangent, arrays):
    "every operation of the graph, from the root down, through `assert_backward_is_clean`"
    collected = {root.grad_fn: cotangent}
    for operation in reversed(topological_order(root.grad_fn)):
        incoming = frozen(collected.pop(operation))
        for parent, gradient in zip(operation.parents, assert_backward_is_clean(operation, incoming, arrays)):
            if isinstance(parent, Function) and gradient is not None:
                collected[parent] = collected[parent] + gradient if parent in collected else gradient
