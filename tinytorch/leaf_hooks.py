"""When a leaf with hooks has its whole gradient: after the last operation that uses it."""
from tinytorch.ops.elementwise import Function
from tinytorch.vocabulary.hooks import hooked_gradient


def last_uses(order):
    "Return {operation: [leaves with hooks that it is the last to reach, when `order` is walked from its end]}."
    seen, last = set(), {}
    for operation in order:
        for parent in operation.parents:
            if parent is not None and parent.hooks and not isinstance(parent, Function) and parent not in seen:
                seen.add(parent)
                last.setdefault(operation, []).append(parent)
    return last


def hand_over(leaf, gradient):
    "Let the hooks of a leaf see its whole gradient, an array, and change it; add what they leave to its own."
    leaf.accumulate_grad(hooked_gradient(leaf, gradient), fresh=False)
