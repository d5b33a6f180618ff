"""Gradients against finite differences, by another hand."""

__all__ = [
    "numerical_gradient", "GradientError", "explain", "compare_gradients", "random_cotangent",
    "check_function", "gradcheck",
]

import numpy as np


def numerical_gradient(f, x, cotangent, eps=1e-6):
    def score(place, value):
        kept, x[place] = x[place], value
        try:
            return np.array(f(), copy=True)
        finally:
            x[place] = kept

    measured = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        here = float(x[place])
        rise = score(place, here + eps) - score(place, here - eps)
        measured[place] = np.sum(rise * cotangent) / (2 * eps)
    return measured


class GradientError(AssertionError):
    "A gradient does not agree with what was measured."


def explain(expected, got, shapes):
    expected, got = np.asarray(expected, float), np.asarray(got, float)
    if not got.any():
        return "got is all zeros"
    if not expected.any():
        return "expected is all zeros, and got is not"
    if expected.ndim > 1 and expected.shape[-1] == expected.shape[-2] and np.allclose(got, expected.mT, rtol=1e-4):
        return "got is the transpose"
    counts = abs(expected) > abs(expected).max() / 10_000
    ratios = np.divide(got, expected, where=counts, out=np.full(got.shape, np.nan))[counts]
    typical = float(np.median(ratios))
    if (abs(ratios - typical) > 1e-3 * abs(typical)).any():
        return "the ratio differs from place to place"
    explained = {-1.0: "the sign is wrong", 2.0: "a factor of 2 too many", 0.5: "a factor of 2 too few"}
    for shape in (expected.shape, *shapes):
        for size in (*shape, int(np.prod(shape))):
            if size > 1:
                explained.setdefault(float(size), f"{size} is a size of {shape}")
                explained.setdefault(1 / size, f"1 / {size}, where {size} is a size of {shape}")
    near = min(explained, key=lambda value: abs(value - typical))
    why = explained[near] if abs(near - typical) < 1e-3 * abs(typical) else "some constant"
    return f"everywhere {typical:.4g}: {why}"


def compare_gradients(name, i, expected, got, shapes=(), rtol=1e-5, atol=1e-7):
    complain = f"{name}: gradient of input {i}"
    if got is None:
        raise GradientError(f"{complain} is None; an array of shape {np.shape(expected)} was expected")
    if np.shape(got) != np.shape(expected):
        raise GradientError(f"{complain} has shape {np.shape(got)}, the input {np.shape(expected)}")
    expected, got = np.asarray(expected, float), np.asarray(got, float)
    if not expected.size:
        return 0.0
    distance = np.abs(got - expected)
    allowed = np.abs(expected) * rtol + atol * max(1.0, float(np.abs(expected).max()))
    if (distance <= allowed).all():
        return float(distance.max())
    distance = np.where(distance <= allowed, -1.0, np.where(np.isnan(distance), np.inf, distance))
    worst = np.unravel_index(distance.argmax(), distance.shape)
    worst = tuple(int(number) for number in worst)
    raise GradientError(f"{complain} is {got[worst]:.6g} at index {worst}, measured {expected[worst]:.6g}: "
                        f"{explain(expected, got, shapes)}")


def random_cotangent(shape, seed):
    return np.random.default_rng([seed, 2718]).uniform(-2.0, 2.0, shape)


def check_function(make_operation, *arrays, seed=0):
    arrays = [None if a is None else np.asarray(a) for a in arrays]
    operation = make_operation()
    output = operation.forward(*[None if a is None else a.copy() for a in arrays])
    cotangent = random_cotangent(np.shape(output), seed)
    gradients = operation.backward(cotangent)
    if not isinstance(gradients, tuple) or len(gradients) != len(arrays):
        raise GradientError(f"{operation.name}: backward must return a tuple of {len(arrays)} gradients")

    def difference(i):
        moved = [None if a is None else a.copy() for a in arrays]
        measured = numerical_gradient(lambda: make_operation().forward(*moved), moved[i], cotangent)
        return compare_gradients(operation.name, i, measured, gradients[i])

    return max((difference(i) for i, a in enumerate(arrays) if a is not None and a.dtype.kind == "f"), default=0.0)


def gradcheck(f, *tensors, seed=0):
    wanted = [(i, t) for i, t in enumerate(tensors) if t.requires_grad]
    for _, tensor in wanted:
        if tensor.dtype != np.float64:
            raise TypeError(f"gradcheck: the tensors must be float64, not {tensor.dtype}")
        tensor.grad = None
    result = f(*tensors)
    name = getattr(result.grad_fn, "name", "gradcheck")
    cotangent = random_cotangent(result.shape, seed)
    result.backward(cotangent)
    slopes = {i: t.grad if t.grad is None else np.asarray(t.grad) for i, t in wanted}
    return max((compare_gradients(name, i, numerical_gradient(lambda: f(*tensors).data, t.data, cotangent), slopes[i])
                for i, t in wanted), default=0.0)
