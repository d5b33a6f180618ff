"""Parameter and Module, by another hand: everything is found by one walk over the tree."""

__all__ = [
    "KeyDifferences", "Parameter", "dotted", "unique", "Module", "Sequential", "ModuleList",
    "ModuleDict",
]

from collections import namedtuple
from textwrap import indent

import numpy as np

from tinytorch.tensor import Tensor

KeyDifferences = namedtuple("KeyDifferences", "missing_keys unexpected_keys")


class Parameter(Tensor):
    __slots__ = ()

    def __init__(self, data, requires_grad=True):
        super().__init__(data, requires_grad=requires_grad)

    def __repr__(self):
        return f"Parameter containing:\n{super().__repr__()}"


def dotted(path, name):
    return ".".join(part for part in (path, name) if part)


def unique(named):
    seen = []
    marks = set()
    for name, thing in named:
        if id(thing) not in marks:
            marks.add(id(thing))
            seen.append(thing)  # kept, so that no id is used again
            yield name, thing


class Module:
    training = True
    _saved = {}  # {name of a buffer: is it saved?}

    def forward(self, *inputs, **options):
        raise NotImplementedError(f"{type(self).__name__} does not say what it computes: forward is missing")

    def __call__(self, *inputs, **options):
        return self.forward(*inputs, **options)

    # ---- the tree
    def _attributes(self, kind):
        return [(name, value) for name, value in vars(self).items() if isinstance(value, kind)]

    def _own_buffers(self):
        return [(name, value) for name, value in self._attributes(Tensor) if name in self._saved]

    def _walk(self, own):
        "(path, thing) for all that `own` lists for each module, a shared module under each of its paths."
        for path, module in self.named_modules(remove_duplicate=False):
            for name, thing in own(module):
                yield dotted(path, name), thing

    def named_children(self):
        return iter(self._attributes(Module))

    def children(self):
        return (module for _, module in self.named_children())

    def named_modules(self, remove_duplicate=True):
        def below(path, module):
            yield path, module
            for name, child in module.named_children():
                yield from below(dotted(path, name), child)

        return unique(below("", self)) if remove_duplicate else below("", self)

    def modules(self):
        return (module for _, module in self.named_modules())

    def add_module(self, name, module):
        where = f"{type(self).__name__}: {name!r}"
        if not isinstance(module, Module):
            raise TypeError(f"{where} must be a Module, not {type(module).__name__}")
        if not name or "." in name or hasattr(self, name):
            raise KeyError(f"{where} cannot be the name of a module, or is another's")
        setattr(self, name, module)

    def named_parameters(self):
        return unique(self._walk(lambda module: module._attributes(Parameter)))

    def parameters(self):
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self):
        return unique(self._walk(lambda module: module._own_buffers()))

    def buffers(self):
        return (buffer for _, buffer in self.named_buffers())

    def register_buffer(self, name, tensor, persistent=True):
        if name not in self._saved and hasattr(self, name):
            raise KeyError(f"{type(self).__name__} has an attribute {name!r} already")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"buffer {name!r} must be a Tensor, not {type(tensor).__name__}")
        self._saved = {**self._saved, name: persistent}
        setattr(self, name, tensor)

    # ---- switches
    def zero_grad(self):
        for parameter in self.parameters():
            parameter.grad = None

    def requires_grad_(self, flag=True):
        for parameter in self.parameters():
            parameter.requires_grad = flag
        return self

    def train(self, mode=True):
        for module in self.modules():
            module.training = mode
        return self

    def eval(self):
        return self.train(False)

    def apply(self, fn):
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self, dtype):
        if np.dtype(dtype).kind != "f":
            raise TypeError(f"a module holds floats, it cannot become {np.dtype(dtype)}")
        for tensor in (*self.parameters(), *self.buffers()):
            if tensor.dtype.kind == "f":
                tensor.data = tensor.data.astype(dtype, copy=False)
                if tensor.grad is not None:
                    tensor.grad = tensor.grad.data.astype(dtype, copy=False)
        return self

    def float(self):
        return self.to(np.float32)

    def double(self):
        return self.to(np.float64)

    # ---- saving
    def saved_tensors(self):
        def own(module):
            kept = [pair for pair in module._own_buffers() if module._saved[pair[0]]]
            parameters = module._attributes(Parameter)
            return parameters + [pair for pair in kept if pair not in parameters]

        return dict(self._walk(own))

    def state_dict(self):
        return {path: np.array(tensor.data) for path, tensor in self.saved_tensors().items()}

    def load_state_dict(self, state_dict, strict=True):
        tensors = self.saved_tensors()
        differences = KeyDifferences([path for path in tensors if path not in state_dict],
                                     [path for path in state_dict if path not in tensors])
        complaints = [f"{kind.replace('_', ' ')}: {', '.join(paths)}"
                      for kind, paths in differences._asdict().items() if paths and strict]
        arrays = {}
        for path in tensors.keys() & state_dict.keys():
            arrays[path] = np.asarray(state_dict[path], tensors[path].dtype)
            if arrays[path].shape != tensors[path].shape:
                complaints.append(f"{path} has shape {tensors[path].shape}, not {arrays[path].shape}")
        if complaints:
            raise RuntimeError(f"{type(self).__name__} cannot load this: {'; '.join(complaints)}")
        for path, array in arrays.items():
            np.copyto(tensors[path].data, array)
        return differences

    # ---- how it looks
    def extra_repr(self):
        return ""

    def _lines(self):
        return [f"({name}): {child!r}" for name, child in self.named_children()]

    def __repr__(self):
        lines = self._lines()
        if lines and self.extra_repr():
            lines.insert(0, self.extra_repr())
        inside = f"\n{indent(chr(10).join(lines), '  ')}\n" if lines else self.extra_repr()
        return f"{type(self).__name__}({inside})"


class Sequential(Module):
    def __init__(self, *modules):
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else None
        for name, module in (named.items() if named is not None else ((str(i), m) for i, m in enumerate(modules))):
            self.add_module(name, module)

    def forward(self, x):
        for module in self:
            x = module(x)
        return x

    def append(self, module):
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules):
        for module in modules:
            self.append(module)
        return self

    def __len__(self):
        return sum(1 for _ in self.children())

    def __iter__(self):
        return self.children()

    def _like(self, modules):
        return Sequential(*modules)

    def __getitem__(self, index):
        picked = list(self)[index]
        return self._like(picked) if isinstance(index, slice) else picked


class ModuleList(Module):
    append, extend, __len__, __iter__, __getitem__ = (
        getattr(Sequential, name) for name in ("append", "extend", "__len__", "__iter__", "__getitem__"))

    def __init__(self, modules=()):
        self.extend(modules)

    def _like(self, modules):
        return ModuleList(modules)

    def _lines(self):
        lines, alike = [], []
        for i, child in enumerate([*self, None]):
            shown = repr(child)
            if alike and (shown != alike[0] or child is None):
                first = i - len(alike)
                name = f"({first}-{i - 1}): {len(alike)} x " if len(alike) > 1 else f"({first}): "
                lines.append(name + alike[0])
                alike = []
            alike.append(shown)
        return lines


class ModuleDict(Module):
    def __init__(self, modules=()):
        for name, module in dict(modules).items():
            self[name] = module

    def __setitem__(self, name, module):
        if name in self and isinstance(module, Module):
            setattr(self, name, module)
        else:
            self.add_module(name, module)

    def __getitem__(self, name):
        return dict(self.items())[name]

    def __contains__(self, name):
        return name in self.keys()

    def __len__(self):
        return len(self.keys())

    def __iter__(self):
        return iter(self.keys())

    def keys(self):
        return [name for name, _ in self.named_children()]

    def values(self):
        return list(self.children())

    def items(self):
        return list(self.named_children())
