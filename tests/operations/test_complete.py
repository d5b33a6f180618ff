"""Nothing is left out: every operation, every function of nn.functional and every method of Tensor has its row."""
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from operations import checks
from operations.rows import CASES, ROWS

import tinytorch
from tinytorch.autograd import topological_order
from tinytorch.inplace import InPlace
from tinytorch.ops.elementwise import Function
from tinytorch.tensor import Tensor

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

# What operations have in common, and no operation itself.
ABSTRACT = {"Reduction", "Activation", "RowNorm", "PoolFunction",
            "Checkpoint"}  # runs a block of other operations: tests/25_checkpointing

# Of Tensor: what says something about a tensor, moves it between the worlds, or starts the walk. No gradient.
NOT_AN_OPERATION = {
    "accumulate_grad", "backward", "detach", "dim", "item", "numel", "numpy", "requires_grad_", "size",
    "tolist", "wrap", "long", "bool", "to", "float", "nelement", "ndimension", "element_size", "data_ptr", "stride",
    "is_contiguous", "is_floating_point", "register_hook", "retain_grad", "bernoulli_", "as_gradient", "cuda", "equal",
    "allclose",
}

# Issue 3, point 2: what a student who knows PyTorch will look for.
VOCABULARY = """
    add sub mul div pow neg exp log log1p expm1 sqrt rsqrt square reciprocal abs sign sin cos tanh sigmoid relu clamp
    maximum minimum where sum mean var std prod amax amin argmax argmin max min cumsum logsumexp softmax log_softmax
    matmul mm bmm outer reshape view permute transpose squeeze unsqueeze expand broadcast_to flatten flip roll repeat
    split chunk gather index_select masked_fill tril triu clone""".split()
FUNCTIONAL = """
    linear embedding relu leaky_relu gelu silu softplus logsigmoid sigmoid tanh softmax log_softmax normalize pad
    layer_norm rms_norm cross_entropy nll_loss mse_loss l1_loss binary_cross_entropy binary_cross_entropy_with_logits
    scaled_dot_product_attention dropout conv1d conv2d max_pool1d max_pool2d avg_pool1d avg_pool2d batch_norm""".split()
CREATION = "tensor zeros ones full arange eye zeros_like ones_like rand randn randint cat stack where einsum".split()


# What is flat everywhere, or gives no floats: no input of it has a gradient that is not 0.
FLAT = set("""
    sign argmax argmin floor ceil round trunc fix eq ne lt le gt ge less less_equal greater greater_equal
    not_equal isclose isnan isinf isfinite logical_and logical_or logical_xor logical_not count_nonzero nonzero argwhere
    argsort searchsorted bucketize int short byte multinomial new_zeros new_ones new_empty new_full new_tensor
    """.split())


def functions_of_the_package():
    "every plain subclass of Function that tinytorch defines, whichever module it is in; fast forms: tests/fast"
    for module in pkgutil.walk_packages(tinytorch.__path__, "tinytorch."):
        importlib.import_module(module.name)
    found, waiting = set(), [Function]
    while waiting:
        for subclass in waiting.pop().__subclasses__():
            waiting.append(subclass)
            home = subclass.__module__.split(".")
            if home[0] == "tinytorch" and not {"fast", "diagnosis"} & {*home} and subclass.__name__ not in ABSTRACT:
                found.add(subclass)
    return found


@pytest.fixture(scope="module")
def seen():
    "the operations in the graphs of all cases (float32), and the names that they asked nn.functional and tinytorch for"
    operations, ours = set(), checks.Ours()
    for case in CASES:
        root, _ = checks.graph(ours, case, case.arrays(np.float32))
        if root is not None and root.grad_fn is not None:
            operations |= {type(operation) for operation in topological_order(root.grad_fn)}
    return operations, ours.used


def test_every_function_has_a_row(seen):
    functions = functions_of_the_package()
    assert len(functions) > 50
    missing = sorted(f"{f.__module__}.{f.__name__}" for f in functions - seen[0])
    assert not missing, f"no row of the table runs {', '.join(missing)}: add one"


def test_every_name_of_functional_has_a_row(seen):
    functional = importlib.import_module("tinytorch.nn.functional")
    public = {name for name, value in inspect.getmembers(functional, inspect.isfunction) if not name.startswith("_")}
    missing = sorted(public - seen[1])
    assert public and not missing, f"no row of the table calls nn.functional.{', '.join(missing)}: add one"


def test_every_method_of_tensor_has_a_row():
    public = {name for name, value in inspect.getmembers(Tensor, inspect.isfunction) if not name.startswith("_")}
    in_place = set(vars(InPlace)) | {name for name in public if name.endswith("_") and name[:-1] in public}
    missing = sorted(public - NOT_AN_OPERATION - in_place - {row.name for row in ROWS})
    assert not missing, f"no row of the table calls Tensor.{', '.join(missing)}: add one"


def test_vocabulary_is_there():
    functional = importlib.import_module("tinytorch.nn.functional")
    missing = [f"Tensor.{name}" for name in VOCABULARY if not hasattr(Tensor, name)]
    missing += [f"nn.functional.{name}" for name in FUNCTIONAL if not hasattr(functional, name)]
    missing += [f"tinytorch.{name}" for name in CREATION if not hasattr(tinytorch, name)]
    assert not missing, f"PyTorch's vocabulary lacks here: {', '.join(missing)}"


def test_options_are_called_as_in_pytorch(theirs):
    "our parameters have PyTorch's names, in PyTorch's order, wherever PyTorch's function tells its signature"
    functional = importlib.import_module("tinytorch.nn.functional")
    for name in FUNCTIONAL:
        try:
            known = list(inspect.signature(getattr(theirs, name)).parameters)
        except ValueError:  # written in C++
            continue
        if known == ["args", "kwargs"]:  # max_pool, dispatched by one of its options
            continue
        ours = list(inspect.signature(getattr(functional, name)).parameters)
        order = [known.index(parameter) for parameter in ours if parameter in known]
        # layer_norm and the like call their input x, which nobody passes by name
        assert set(ours[1:]) <= set(known), f"{name}{tuple(ours)}: PyTorch has {tuple(known)}"
        assert order == sorted(order), f"{name}{tuple(ours)}: PyTorch's order is {tuple(known)}"


def test_no_row_is_blind_to_a_gradient_of_zeros(ours):
    "for each operation, in some case, each input that wants a gradient gets one that is not all zeros"
    wanting, moved = set(), set()
    for case in CASES:
        arrays = case.arrays()
        _, gradients = checks.evaluate(ours, case, arrays)
        for i, (array, gradient) in enumerate(zip(arrays, gradients)):
            if array.dtype.kind == "f" and not case.row.inputs[i].fixed:
                wanting.add((case.row.name, i))
                moved |= {(case.row.name, i)} if gradient is not None and np.any(gradient) else set()
    assert {name for name, _ in wanting - moved} == FLAT
