"""PyTorch models under examination: for each of their tensors, one of ours that shares its numbers.

The stages change our tensors and ask for losses and gradients; PyTorch computes both. Only `diagnose` imports this, and
only for a model that is a torch.nn.Module, so nobody else needs PyTorch.
"""
import copy
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from tinytorch.diagnosis.case import Case, Event, Trace, Watched, training_step
from tinytorch.diagnosis.experiment import Proof
from tinytorch.ops.elementwise import Function
from tinytorch.state import is_grad_enabled
from tinytorch.tensor import Tensor

KINDS = {"softmax": "softmax", "relu": "relu", "relu_": "relu", "sigmoid": "sigmoid", "tanh": "tanh", "exp": "exp",
         "matmul": "matmul", "__matmul__": "matmul", "bmm": "matmul", "einsum": "einsum", "reshape": "reshape",
         "view": "reshape", "cross_entropy": "cross_entropy", "scaled_dot_product_attention": "attention"}


class Ran(Function):
    "What PyTorch computed, as one node of our graph; its backward asks PyTorch for the gradients."
    kind = "foreign"

    def __init__(self, out, leaves):
        self.out, self.leaves = out, leaves

    def backward(self, grad):
        grad = torch.from_numpy(np.array(grad)).to(self.out.device, self.out.dtype)
        found = torch.autograd.grad(self.out, self.leaves, grad, retain_graph=True, allow_unused=True)
        return tuple(None if g is None else numbers(g) for g in found)


def numbers(tensor):
    "Return a tensor's numbers as an array, which shares the memory of one on the CPU."
    tensor = tensor.detach().cpu()
    return (tensor.to(torch.float32) if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy()


def to_ours(x):
    return Tensor(numbers(x)) if isinstance(x, torch.Tensor) else x


def leaves_of(out):
    "Return the tensors that the graph of `out` begins with."
    return [node.variable for node in nodes_of(out) if hasattr(node, "variable")] or [out] * out.is_leaf


def nodes_of(out):
    "Return every node of the graph of `out`, each once."
    todo, found = [out.grad_fn], {}
    while todo:
        node = todo.pop()
        if node is not None and node not in found:
            found[node] = None
            todo += [parent for parent, _ in node.next_functions]
    return list(found)


class Stand:
    "What loss_fn calls in the place of the model: its first answer is the leaf that a Watched gives."
    def __init__(self, case, watched):
        self.case, self.watched = case, watched

    def __call__(self, *inputs, **options):
        model = self.case.model
        if self.watched.answer is not None:
            return model.original(*inputs, **options)
        found = self.watched(*map(to_ours, inputs), **{name: to_ours(x) for name, x in options.items()})
        answer = self.case.theirs(self.watched.answer).requires_grad_()
        self.case.twins[id(answer)] = answer, self.watched.answer
        rest = [self.case.theirs(x) for x in found[1:]] if isinstance(found, tuple) else None
        return answer if rest is None else (answer, *rest)

    def __getattr__(self, name):
        return getattr(self.case.model.original, name)


class Model:
    "The PyTorch model as the stages see it: called with our Tensors, it answers with them."
    def __init__(self, original, case):
        vars(self).update(original=original, case=case)

    def __call__(self, *inputs, **options):
        self.case.push()
        inputs, options = map(self.case.theirs, inputs), {name: self.case.theirs(x) for name, x in options.items()}
        with torch.set_grad_enabled(is_grad_enabled()):
            out = self.original(*inputs, **options)
        return tuple(map(self.case.record, out)) if isinstance(out, (tuple, list)) else self.case.record(out)

    def __getattr__(self, name):
        return getattr(self.original, name)

    def __setattr__(self, name, value):
        "Put a forward of ours into the original for a while, or take it out again."
        vars(self.original).pop(name, None)
        if value != getattr(self.original, name):
            setattr(self.original, name, lambda *inputs, **options: self.case.theirs(value(*inputs, **options)))


class Optimizer:
    "A torch.optim optimizer whose groups hold our tensors; `case.step` steps the original."
    def __init__(self, original, case):
        self.original, self.case = original, case
        self.param_groups = [group | {"params": [case.twin(p) for p in group["params"]]}
                             for group in original.param_groups]

    @property
    def state(self):
        return self.original.state

    def copy(self):
        "Return an optimizer with the same parameters and a copy of the state; no scheduler knows of it."
        groups = [dict(group) for group in self.original.param_groups]
        fresh = type(self.original)(groups, lr=groups[0]["lr"])
        fresh.load_state_dict(copy.deepcopy(self.original.state_dict()))
        return Optimizer(fresh, self.case)

    def set_rates(self):
        for theirs, ours in zip(self.original.param_groups, self.param_groups):
            theirs["lr"] = ours["lr"]


class Operations(TorchFunctionMode, Trace):
    "Keep an Event for every function of PyTorch that gives a tensor."
    def __init__(self, model):
        super().__init__()
        self.paths = {id(module): path for path, module in model.named_modules()}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        out, name = function(*args, **(kwargs or {})), getattr(function, "__name__", "")
        if isinstance(out, torch.Tensor) and not name.startswith("__get") and package_of(caller()) != "tinytorch":
            self.keep(name, args, kwargs or {}, out)
        return out

    def keep(self, name, args, options, out):
        kind = KINDS.get(name)
        tensors = [x for x in [*args, *options.values()] if isinstance(x, torch.Tensor)]
        arrays = [numbers(x).copy() for x in tensors]
        if kind == "cross_entropy" and arrays[0].ndim > 2:
            arrays[0] = np.moveaxis(arrays[0], 1, -1).reshape(-1, arrays[0].shape[1])
            arrays[1] = arrays[1].ravel()
        operation = SimpleNamespace(name=name.strip("_"), kind=kind, ignore_index=options.get("ignore_index", -100))
        if kind == "einsum":
            operation.equation = args[0]
        if kind == "attention":
            operation.scale, operation.weights = options.get("scale") or arrays[0].shape[-1] ** -0.5, None
        wanted = [x.requires_grad for x in tensors]
        self.append(Event(operation, tuple(arrays), numbers(out).copy(), wanted, self.modules(), their_line()))


def package_of(frame):
    return frame.f_globals.get("__name__", "").split(".")[0]


def caller(skipped=("torch",)):
    "Return the innermost frame, above that of its caller, that is not in the packages `skipped`."
    frame = sys._getframe(2)
    while frame.f_back and package_of(frame) in skipped:
        frame = frame.f_back
    return frame


def their_line():
    "Return \"file.py:12\", the innermost line on the stack that is neither PyTorch's nor ours."
    frame = caller(("torch", "tinytorch"))
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


class TorchCase(Case):
    "A Case whose model, loss, step and optimizer are PyTorch's, unchanged."
    def __init__(self, model, batch, loss_fn, optimizer=None, *, step=training_step, held_out=None, generate=None,
                 parameters=None, pad_token=None):
        self.original, self.their_loss, self.their_step, self.twins = model, loss_fn, step, {}
        self.kept = [(p, p.data, p.grad) for p in [*model.parameters(), *model.buffers()]]
        self.device = next((p.device for p, _, _ in self.kept), torch.device("cpu"))
        self.torch_random = torch.get_rng_state()
        names = model.named_parameters() if parameters is None else parameters.items()
        ours = None if generate is None else lambda facade: self.run_generate(generate)
        batch = batch if isinstance(batch, (tuple, list)) else (batch,)
        super().__init__(Model(model, self), tuple(map(to_ours, batch)), self.run_loss, None, step=self.run_step,
                         parameters={name: self.twin(p) for name, p in names}, generate=ours, pad_token=pad_token,
                         held_out=held_out if held_out is None else tuple(map(to_ours, held_out)))
        self.optimizer = optimizer and Optimizer(optimizer, self)
        self.own_step = step is not training_step
        for p in model.buffers():
            self.twin(p)

    # ---- tensors and their twins

    def twin(self, p):
        "Return our tensor for one of PyTorch's, always the same."
        if id(p) not in self.twins:
            ours = Tensor(numbers(p), requires_grad=p.requires_grad)
            ours.data = numbers(p)  # the memory itself
            ours.grad = None if p.grad is None else numbers(p.grad)
            self.twins[id(p)] = p, ours
        return self.twins[id(p)][1]

    def theirs(self, x):
        "Return a tensor of PyTorch's with the numbers of ours; whatever is no tensor of ours, unchanged."
        return torch.from_numpy(np.array(x.data)).to(self.device) if isinstance(x, Tensor) else x

    def push(self, gradients=False):
        "Give PyTorch's tensors the numbers that ours have now."
        for p, ours in self.twins.values():
            if numbers(p) is not ours.data:
                p.data = torch.from_numpy(ours.data).to(p.device)
            if p.is_leaf and p.is_floating_point():
                p.requires_grad = ours.requires_grad
            if gradients:
                p.grad = None if ours.grad is None else self.theirs(ours.grad)

    def pull(self):
        "Take the numbers and gradients that a step gave PyTorch's tensors."
        for p, ours in self.twins.values():
            ours.data, ours.grad = numbers(p), None if p.grad is None else numbers(p.grad)

    def record(self, out):
        "Return a result of PyTorch's as a Tensor in our graph, with the twins of what it depends on as leaves."
        if not isinstance(out, torch.Tensor):
            return out
        result = Tensor(numbers(out).copy())
        if out.requires_grad and is_grad_enabled():
            leaves = leaves_of(out)
            operation = Ran(out, leaves)
            operation.parents, operation.needs_grad = [self.twin(leaf) for leaf in leaves], [True] * len(leaves)
            operation.out_shape, operation.out_dtype = result.shape, result.dtype
            result._requires_grad, result.grad_fn = True, operation
        return result

    def give_back(self):
        "Leave PyTorch's tensors, gradients and random numbers as they were found."
        for p, data, grad in self.kept:
            if p.device.type != "cpu":
                data.copy_(torch.from_numpy(self.twin(p).data))
            p.data, p.grad = data, grad
        torch.set_rng_state(self.torch_random)

    # ---- what the stages call

    def modules(self):
        return list(self.original.modules())

    def tensors(self):
        return list({id(t): t for t in [*super().tensors(), *(ours for _, ours in self.twins.values())]}.values())

    def reset_random(self, jumps=0):
        super().reset_random(jumps)
        torch.set_rng_state(self.torch_random)
        torch.rand(jumps)

    @contextmanager
    def untouched(self):
        with super().untouched():
            yield
        self.push()

    def run_loss(self, model, *batch):
        self.push()
        stand = Stand(self, model) if isinstance(model, Watched) else self.original
        with torch.set_grad_enabled(is_grad_enabled()):
            return self.record(self.their_loss(stand, *map(self.theirs, batch)))

    def run_step(self, model, batch, loss_fn, optimizer):
        self.push(gradients=True)
        if optimizer is not None:
            optimizer.set_rates()
        with torch.enable_grad():
            self.their_step(self.original, tuple(map(self.theirs, batch)), self.their_loss,
                            optimizer and optimizer.original)
        self.pull()

    def run_generate(self, generate):
        self.push()
        found = generate(self.original)
        return numbers(found) if isinstance(found, torch.Tensor) else found

    def seen(self):
        fresh = "seen" not in self.known
        watched = super().seen()
        if fresh and watched.answer is not None:
            losses = [event for event in self.trace() if event.kind == "cross_entropy" and len(event.inputs) > 1]
            watched.targets = losses[0].inputs[1] if losses else None
        return watched

    def watch(self):
        return Operations(self.original)

    @contextmanager
    def in_float64(self):
        kept = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            with super().in_float64():
                yield
        finally:
            torch.set_default_dtype(kept)
            self.push()

    def runs_in_float64(self, batch):
        "Return whether it does: numbers of the model's own, such as a constant that is no buffer, stay float32."
        try:
            self.loss(batch)
        except (RuntimeError, TypeError):
            return False
        return True

    def holds(self, tensors):
        return super().holds([p for p, ours in self.twins.values() if any(ours is tensor for tensor in tensors)])

    def blame_backward(self, search, name, slopes):
        "Blame a backward of one's own, if there is one: PyTorch's are right, and cannot be run by themselves."
        with torch.enable_grad():
            nodes = nodes_of(self.their_loss(self.original, *map(self.theirs, self.batch)))
        own = next((node for node in nodes if isinstance(node, torch.autograd.function.BackwardCFunction)), None)
        proof = Proof(f"{name} was nudged", "the slope of the loss is", *slopes)
        return own and (f"Is the backward of {type(own).__name__.removesuffix('Backward')} right?", proof)

    def copy_optimizer(self, factor=1.0):
        fresh = self.optimizer.copy()
        for ours, group in zip(fresh.param_groups, self.optimizer.param_groups):
            ours["lr"] = factor * self.learning_rate(group)
        return fresh
