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
