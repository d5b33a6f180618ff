"""An argument of the wrong kind is named: the error says which function it was, which argument, and what it got."""
import inspect

import numpy as np
import pytest
from said import said

import tinytorch
from tinytorch import Tensor, nn, optim
from tinytorch.nn import functional as F
from tinytorch.vocabulary.functions import METHODS

OURS = TypeError, ValueError, IndexError, RuntimeError
NO_TENSORS = {"a text": "abc", "None": None, "a number": 3.5, "an object": object(), "a dict": {}}
X = Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
LISTS = ["cat", "stack", "hstack", "vstack", "concat"]
SIZES = ["zeros", "ones", "empty", "rand", "randn"]
LIKE = ["zeros_like", "ones_like", "empty_like", "rand_like", "randn_like", "full_like"]


def refusal(call, *args, **options):
    "Return what the error says that the call ends in; it must be of a documented kind, not one from inside of us."
    with pytest.raises(Exception) as raised:
        call(*args, **options)
    assert isinstance(raised.value, OURS), f"{type(raised.value).__name__}: {raised.value}"
    return said(raised.value)


@pytest.mark.parametrize("kind", NO_TENSORS)
@pytest.mark.parametrize("name", METHODS)
def test_functions_of_a_tensor_want_one(name, kind):
    words = refusal(getattr(tinytorch, name), NO_TENSORS[kind])
    assert name in words and "input" in words and type(NO_TENSORS[kind]).__name__ in words


@pytest.mark.parametrize("kind", NO_TENSORS)
@pytest.mark.parametrize("name", F.__all__)
def test_functions_of_nn_want_a_tensor_first(name, kind):
    function = getattr(F, name)
    needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty][1:]
    words = refusal(function, NO_TENSORS[kind], *[X] * len([p for p in needed if p.kind is p.POSITIONAL_OR_KEYWORD]))
    first = next(iter(inspect.signature(function).parameters))
    assert name in words and first in words and type(NO_TENSORS[kind]).__name__ in words


@pytest.mark.parametrize("name", LISTS)
def test_what_joins_tensors_wants_a_list_of_them(name):
    function = getattr(tinytorch, name)
    assert "tensors" in refusal(function, X) and "str" in refusal(function, [X, "abc"])
    assert refusal(function, [])


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_integers(name):
    function = getattr(tinytorch, name)
    for wrong in (2.5, "a", None, X):
        words = refusal(function, wrong)
        assert name in words and "size" in words and type(wrong).__name__ in words
    assert "-1" in refusal(function, 2, -1)
    assert "device" in refusal(function, 2, device="cuda") and "dtype" in refusal(function, 2, dtype="number")


@pytest.mark.parametrize("name", LIKE)
def test_a_tensor_like_another_wants_one(name):
    assert name in refusal(getattr(tinytorch, name), "abc", *[1.0] * (name == "full_like"))


@pytest.mark.parametrize("name", [
    "sum", "mean", "prod", "amax", "amin", "argmax", "argmin", "max", "min", "var", "std", "cumsum", "softmax",
    "log_softmax", "logsumexp", "any", "all", "norm", "argsort", "sort", "unbind", "squeeze", "unsqueeze", "flatten",
])
def test_a_dim_is_an_integer(name):
    for wrong in ("a", 1.5, object()):
        words = refusal(getattr(X, name), wrong) if name != "norm" else refusal(X.norm, 2, wrong)
        assert "dim" in words or name.replace("_", "") in words
    words = refusal(getattr(X, name), 7) if name != "norm" else refusal(X.norm, 2, 7)
    assert "7" in words


# what is called: words that the error must hold
REFUSED = {
    "arange step": (lambda: tinytorch.arange(0, 5, 0), "arange step 0"),
    "arange direction": (lambda: tinytorch.arange(5, 0), "arange 5 0"),
    "arange text": (lambda: tinytorch.arange("5"), "arange end str"),
    "arange None": (lambda: tinytorch.arange(1, None), "arange end NoneType"),
    "linspace steps": (lambda: tinytorch.linspace(0, 1, 2.5), "linspace steps 2.5"),
    "full size": (lambda: tinytorch.full(3, 1.0), "full size int"),
    "randint order": (lambda: tinytorch.randint(5, 2, (3,)), "randint 5 2"),
    "randint size": (lambda: tinytorch.randint(5, 3), "randint size"),
    "generator": (lambda: tinytorch.rand(2, generator=5), "generator int"),
    "from_numpy": (lambda: tinytorch.from_numpy([1, 2]), "from_numpy list"),
    "tensor of text": (lambda: tinytorch.tensor("a"), "Tensor str"),
    "meshgrid": (lambda: tinytorch.meshgrid(X[0], X[1], indexing="yx"), "meshgrid indexing yx"),
    "multinomial weights": (lambda: tinytorch.multinomial(X - 3, 1), "multinomial weights"),
    "multinomial too many": (lambda: tinytorch.multinomial(X, 4), "multinomial 4 3"),
    "topk": (lambda: X.topk(4), "topk k=4 (2, 3)"),
    "device": (lambda: tinytorch.device("cuda"), "device cuda cpu"),
    "to": (lambda: X.to("cuda:0"), "cuda cpu"),
    "cuda": (lambda: X.cuda(), "CPU"),
    "narrow": (lambda: X.narrow(1, 2, 2), "narrow (2, 3)"),
    "norm": (lambda: X.norm("nuc"), "norm nuc"),
    "div": (lambda: X.div(2, rounding_mode="up"), "div rounding_mode up"),
    "out": (lambda: X.sum(out=X), "sum out"),
    "both": (lambda: X.var(0, unbiased=False, correction=2), "var unbiased correction"),
    "t": (lambda: tinytorch.ones(2, 2, 2).t(), "t (2, 2, 2)"),
    "dot": (lambda: X.dot(X), "dot (2, 3)"),
    "one_hot floats": (lambda: F.one_hot(X), "one_hot float32 .long()"),
    "one_hot classes": (lambda: F.one_hot(Tensor([3]), 3), "one_hot 3 2"),
    "group_norm": (lambda: F.group_norm(X, 2), "group_norm 2 (2, 3)"),
    "glu": (lambda: F.glu(X), "glu (2, 3)"),
    "GroupNorm": (lambda: nn.GroupNorm(2, 3), "GroupNorm 2 3"),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(5, 2), "MultiheadAttention 5 2"),
    "pad mode": (lambda: F.pad(X, (1, 1), mode="mirror"), "pad mirror"),
    "pad too wide": (lambda: F.pad(X, (3, 0), mode="reflect"), "pad 3 reflect"),
    "hook": (lambda: nn.Linear(1, 1).register_forward_hook(3), "hook int"),
    "tensor hook": (lambda: X.register_hook(print), "register_hook"),
    "grad": (lambda: setattr(Tensor([1.0]), "grad", 3.0), "grad float"),
    "item assignment": (lambda: Tensor([1.0], requires_grad=True).__setitem__(0, 1.0), "item assignment no_grad"),
    "optimizer": (lambda: optim.SGD(["a"], lr=0.1), "SGD str"),
    "learning rate": (lambda: optim.SGD([Tensor([1.0], requires_grad=True)], lr=-1), "SGD lr -1"),
    "clip": (lambda: nn.utils.clip_grad_norm_("abc", 1.0), "parameters str"),
    "norm type": (lambda: nn.utils.clip_grad_norm_([X], 1.0, norm_type=3), "norm_type 3"),
    "reduction": (lambda: F.smooth_l1_loss(X, X, reduction="max"), "max"),
    "save": (lambda: tinytorch.save({"a": [object()]}, "never"), "save obj['a'][0] object"),
    "module": (lambda: nn.Linear(1, 1).get_submodule("x"), "Linear x"),
}
MORE = AttributeError, KeyError


@pytest.mark.parametrize("name", REFUSED)
def test_the_argument_is_named(name):
    call, words = REFUSED[name]
    with pytest.raises((*OURS, *MORE)) as raised:
        call()
    message = said(raised.value).replace(", ", ",").lower()
    missing = [word for word in words.lower().replace(", ", ",").split() if word not in message]
    assert not missing, f"{message!r} does not say {missing}"


def test_arrays_are_taken_for_tensors_where_a_tensor_is_expected():
    assert tinytorch.exp(np.zeros(2)).tolist() == [1, 1]


def test_a_cache_is_of_a_gpt():
    with pytest.raises(TypeError, match="KVCache: model: expected a GPT, got Linear"):
        tinytorch.generation.KVCache(nn.Linear(2, 2))


FLAGS = [  # each takes True where PyTorch refuses it: NumPy would read a 1
    "triu(True)", "tril(True)", "diag(True)", "diagonal(True)", "roll(True)", "roll(1, True)", "flip(True)",
    "topk(True)", "diff(True)", "repeat_interleave(True)", "chunk(2, True)", "split(1, True)", "transpose(False, True)",
    "unsqueeze(True)", "squeeze(True)", "flatten(True)", "argmax(True)", "softmax(True)", "cumsum(True)", "sort(True)",
    "unbind(True)", "narrow(True, 0, 1)", "select(True, 0)", "swapdims(0, True)", "sum(True)", "logsumexp(True)",
    "median(True)", "unflatten(True, (3, 1))", "moveaxis(True, 0)", "permute(True, False)",
]  # fmt: skip


@pytest.mark.parametrize("call", FLAGS)
def test_a_flag_is_no_dim_and_no_count(call):
    name = call.split("(")[0]
    words = refusal(lambda: eval(f"X.{call}"))
    assert "int" in words and (name in words or "dim" in words), words
    torch = pytest.importorskip("torch")
    with pytest.raises((TypeError, RuntimeError)):
        eval(f"torch.ones(2, 3).{call}", {"torch": torch})
