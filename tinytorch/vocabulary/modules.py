"""Methods of Module under PyTorch's names, hooks among them."""
from tinytorch.vocabulary.hooks import hooked
from tinytorch.vocabulary.options import checked


class ModuleVocabulary:
    "What Module inherits: methods that need nothing of it but the taught ones."
    _pre_hooks = _hooks = _backward_hooks = _has_hooks = ()  # _has_hooks, or had: the one question that each call asks

    def __init_subclass__(cls, **options):
        "Have the options of a module of tinytorch, not of a user's own or a private one, checked when one is made."
        super().__init_subclass__(**options)
        if cls.__module__.startswith("tinytorch.") and cls.__name__[0] != "_" and "__init__" in vars(cls):
            cls.__init__ = checked(cls.__init__)

    def register_forward_pre_hook(self, hook):
        "Call hook(module, inputs) before each forward; what it returns, unless None, takes the place of the inputs."
        return self._hooked("_pre_hooks", hook)

    def register_forward_hook(self, hook):
        "Call hook(module, inputs, output) after each forward; what it returns, unless None, is the output."
        return self._hooked("_hooks", hook)

    def register_full_backward_hook(self, hook):
        """Call hook(module, grad_inputs, grad_outputs), two tuples, in each backward pass, for a module of one Tensor
        in and one out; what it returns, unless None, takes the place of grad_inputs."""
        return self._hooked("_backward_hooks", hook)

    def _hooked(self, kind, hook):
        handle, self._has_hooks = hooked(self, kind, hook), True
        return handle

    def call_with_hooks(self, inputs, options):
        "Return forward(*inputs, **options), with all hooks around it."
        for hook in self._pre_hooks:
            changed = hook(self, inputs)
            if changed is not None:
                inputs = changed if isinstance(changed, tuple) else (changed,)
        watched = self._backward_hooks and self._watch_input(inputs)
        output = self.forward(*(watched[0] if watched else inputs), **options)
        if watched:
            output = self._watch_output(output, watched[1])
        for hook in self._hooks:
            changed = hook(self, inputs, output)
            output = output if changed is None else changed
        return output

    def _watch_input(self, inputs):
        "Return the inputs, the first a copy that calls the backward hooks, and what `_watch_output` asks for."
        grads = []
        first = inputs[0].clone()
        if first.requires_grad:
            first.register_hook(lambda grad: self._call_backward_hooks(grad, grads))
        return (first, *inputs[1:]), (grads, first.requires_grad)

    def _watch_output(self, output, waiting):
        grads, input_follows = waiting
        output = output.clone()
        def arrived(grad):
            grads[:] = [grad]
            if not input_follows:
                self._call_backward_hooks(None, grads)
        if output.requires_grad:
            output.register_hook(arrived)
        return output

    def _call_backward_hooks(self, grad, grads):
        for hook in self._backward_hooks:
            changed = hook(self, (grad,), tuple(grads))
            grad = grad if changed is None else changed[0]
        return grad

    def _get_name(self):
        return type(self).__name__

    def get_submodule(self, target):
        "Return the module at a dotted path; '' is self. Raises: AttributeError where there is none."
        found = dict(self.named_modules(remove_duplicate=False))
        if target not in found:
            raise AttributeError(f"{type(self).__name__} has no module {target!r}")
        return found[target]

    def get_parameter(self, target):
        "Return the parameter at a dotted path. Raises: AttributeError where there is none."
        path, _, name = target.rpartition(".")
        parameters = dict(self.get_submodule(path).named_parameters())
        if name not in parameters:
            raise AttributeError(f"{type(self).__name__} has no parameter {target!r}")
        return parameters[name]

    def register_parameter(self, name, param):
        "Assign a Parameter, or None, to the attribute `name`. Raises: KeyError for a name that is taken or has a dot."
        if not name or "." in name or hasattr(self, name):
            raise KeyError(f"{type(self).__name__}: '{name}' names no parameter: it is empty, has a dot, or is taken")
        setattr(self, name, param)

    def cpu(self):
        return self

    def cuda(self, device=None):
        raise RuntimeError("cuda: tensors live on the CPU here; leave .cuda() out")


class Overwriting:
    "What a layer inherits that can write its result into its input: `inplace=True`."
    inplace = False

    @checked
    def __init__(self, inplace=False):
        if inplace:  # else it is not shown either
            self.inplace = True


class EmbeddingVocabulary:
    "What Embedding inherits."
    num_embeddings = property(lambda self: self.weight.shape[0])
    embedding_dim = property(lambda self: self.weight.shape[1])

    @classmethod
    def from_pretrained(cls, embeddings, freeze=True, padding_idx=None):
        "Return an Embedding of a table (V, D), which is copied, and not trained if `freeze`."
        made = cls(*embeddings.shape)
        made.weight.data[...] = embeddings.data
        made.weight.requires_grad, made.padding_idx = not freeze, padding_idx
        return made
