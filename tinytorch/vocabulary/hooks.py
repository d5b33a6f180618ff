"""Hooks: functions that are called when a module is, or when a gradient arrives."""


class Handle:
    "What registering a hook returns: `remove()` takes it back."
    def __init__(self, owner, attribute, hook):
        self.owner, self.attribute, self.hook = owner, attribute, hook

    def remove(self):
        hooks = getattr(self.owner, self.attribute)
        setattr(self.owner, self.attribute, tuple(hook for hook in hooks if hook is not self.hook))


def hooked(owner, attribute, hook):
    "Add `hook` to the tuple of hooks of that name, and return its Handle. Raises: TypeError for what is no function."
    if not callable(hook):
        raise TypeError(f"register: hook: expected a function, got {type(hook).__name__}")
    setattr(owner, attribute, (*getattr(owner, attribute, ()), hook))
    return Handle(owner, attribute, hook)


def hooked_gradient(owner, gradient):
    """Return the array that is left of the array `gradient` of an operation's result, or a leaf, after its hooks.
    Raises: RuntimeError where a hook returns a gradient of another shape."""
    from tinytorch.tensor import Tensor  # which lies above
    for hook in owner.hooks:
        changed = hook(Tensor.wrap(gradient))
        if changed is not None:
            if changed.shape != gradient.shape:
                raise RuntimeError(f"hook: expected a gradient of shape {gradient.shape}, got {changed.shape}")
            gradient = changed.data.astype(gradient.dtype, copy=False)
    return gradient


def grad(outputs, inputs, grad_outputs=None, retain_graph=False):
    """Return a tuple of Tensors: d(outputs)/d(input), times `grad_outputs`, for each of `inputs`; None where there is
    no influence. All three are one Tensor or a list. No `grad` changes. Raises: as `Tensor.backward`."""
    from tinytorch.autograd import Function, topological_order  # which hands this function on
    def listed(x): return list(x) if isinstance(x, (list, tuple)) else [x]
    outputs, inputs, weights, found = listed(outputs), listed(inputs), listed(grad_outputs), {}
    root = outputs[0] if weights == [None] else sum((y * w).sum() for y, w in zip(outputs, weights, strict=True))
    handles = [x.register_hook(lambda gradient, i=i: found.update({i: gradient})) for i, x in enumerate(inputs)]
    parents = [p for operation in topological_order(root.grad_fn) for p in operation.parents] if root.grad_fn else []
    kept = [(leaf, leaf.grad) for leaf in parents if leaf is not None and not isinstance(leaf, Function)]
    for leaf, _ in kept:
        leaf.grad = None
    try:
        root.backward(retain_graph=retain_graph)
    finally:
        for handle in handles:
            handle.remove()
        for leaf, before in kept:
            leaf.grad = before
    return tuple(found.get(i) for i in range(len(inputs)))
