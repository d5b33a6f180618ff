"""The backward pass, by another hand: an operation's turn comes when all of its users have had theirs."""

__all__ = ["FREED", "topological_order", "add_gradient", "run_backward"]

from collections import Counter

import numpy as np

from tinytorch.ops.elementwise import Function
from tinytorch.state import thread

FREED = ()


def _operations(node):
    return [parent for parent in node.parents if isinstance(parent, Function)]


def topological_order(root):
    uses, found = Counter(), [root]
    for node in found:  # grows on the way
        for parent in _operations(node):
            if not uses[parent]:
                found.append(parent)
            uses[parent] += 1
    order, ready = [], [root]
    while ready:
        node = ready.pop()
        order.append(node)
        for parent in _operations(node):
            uses[parent] -= 1
            if not uses[parent]:
                ready.append(parent)
    return order[::-1]


def add_gradient(collected, gradient, fresh):
    total, ours = collected
    target = total if ours else gradient if fresh else None
    return np.add(total, gradient, out=target), True


def _checked(operation, gradients):
    parents = operation.parents
    if not isinstance(gradients, tuple) or len(gradients) != len(parents):
        raise RuntimeError(f"{operation.name}: backward is to return a tuple, of {len(parents)} gradients")
    for i, (parent, gradient) in enumerate(zip(parents, gradients)):
        if parent is not None and (gradient is None or np.shape(gradient) != parent.out_shape):
            found = "None" if gradient is None else f"an array {np.shape(gradient)}"
            raise RuntimeError(f"{operation.name}: backward returned {found} for input {i} of shape {parent.out_shape}")
    return zip(parents, gradients)


def _prepared(gradient, grad, gradients, dtype):
    "The gradient as an array of `dtype`, and is it an array of its own, that nobody else holds?"
    array = np.asarray(gradient, dtype)
    if array is not gradient:
        return array, not np.may_share_memory(array, grad) and array.flags.writeable
    alone = sum(gradient is other for other in gradients) == 1
    return array, alone and array is not grad and array.base is None and array.flags.writeable


def run_backward(root, gradient, retain_graph=False):
    order = topological_order(root)
    freed = [operation.name for operation in order if operation.parents is FREED]
    if freed:
        raise RuntimeError(f"the graph was freed at {freed[0]} by an earlier backward pass; that should retain_graph")
    arrived = {root: (gradient, False)}
    while order:
        operation = order.pop()
        grad, _ = arrived.pop(operation)
        half = operation.backward
        gradients = thread.observer(half, grad) if thread.observer else half(grad)
        for parent, one in _checked(operation, gradients):
            if parent is None:
                continue
            one, fresh = _prepared(one, grad, gradients, parent.out_dtype)
            if not isinstance(parent, Function):
                parent.accumulate_grad(one, fresh)
            elif parent in arrived:
                arrived[parent] = add_gradient(arrived[parent], one, fresh)
            else:
                arrived[parent] = one, fresh
        if not retain_graph:
            vars(operation).clear()
            operation.parents = FREED
