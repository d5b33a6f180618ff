"""Short PyTorch programs run here unchanged but for the import, and print what they print with PyTorch.

`programs/*.py` hold them, one a cell that begins with `# %% name`. Numbers must agree to a part in 10,000, everything
else to the letter, once spelling that says the same is the same: `torch.Size([2, 3])` and `(2, 3)`, `torch.float32` and
`float32`, line breaks, and the name of a gradient's function."""
import contextlib
import io
import math
import re
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
NUMBER = re.compile(r"(?<![\w.])-?(?:\d+\.?\d*(?:e[+-]?\d+)?|inf|nan)(?![\w'])")
SAME = [
    (r"torch\.Size\(\[([^\]]*)\]\)", r"(\1)"),
    (r"torch\.return_types\.\w+|ValuesIndices|MinMax", ""),
    (r"<All keys matched successfully>", "([],[])"),
    (r"(tiny)?torch\.", ""),
    (r"grad_fn=<?\w+>?", "grad_fn"),
    (r"device\(type='cpu'\)", "cpu"),
    (r"\b(\w+)=tensor", "tensor"),  # the names in a named tuple
    (r"\s+", ""),
    (r",([)\]])", r"\1"),
]


def programs():
    "Yield (name, source) for every program."
    for path in sorted(PROGRAMS.glob("*.py")):
        for cell in path.read_text().split("# %% ")[1:]:
            name, _, source = cell.partition("\n")
            yield f"{path.stem}: {name}", source


def with_ours(source):
    "Return a program that imports this library where it imported PyTorch."
    source = re.sub(r"^import torch$", "import tinytorch as torch", source, flags=re.M)
    return re.sub(r"^(from|import) torch\b", r"\1 tinytorch", source, flags=re.M)


def printed(source):
    "Return what a program prints."
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(source, "program", "exec"), {"__name__": "__main__"})
    return out.getvalue()


def plain(text):
    "Return the text between numbers, and the numbers, of a line without what may differ."
    numbers, text = [float(number) for number in NUMBER.findall(text)], NUMBER.sub("#", text)
    for pattern, replacement in SAME:
        text = re.sub(pattern, replacement, text)
    return text, numbers


def close(a, b):
    return a == b or math.isnan(a) and math.isnan(b) or abs(a - b) <= 1e-4 * max(1, abs(a), abs(b))


PARAMS = [pytest.param(source, id=name) for name, source in programs()]


@pytest.mark.parametrize("source", PARAMS)
def test_prints_what_it_prints_with_pytorch(torch, source):
    torch.manual_seed(0)
    expected, found = printed(source), printed(with_ours(source))
    (their_text, their_numbers), (text, numbers) = plain(expected), plain(found)
    assert text == their_text and len(numbers) == len(their_numbers), f"expected\n{expected}\ngot\n{found}"
    assert all(map(close, numbers, their_numbers)), f"expected\n{expected}\ngot\n{found}"


def test_there_are_enough_and_all_use_the_library():
    sources = [source for _, source in programs()]
    assert len(sources) >= 150
    assert all("torch" in with_ours(source).replace("tinytorch", "") or "tinytorch" in with_ours(source)
               for source in sources)
    assert all(re.search(r"\btinytorch\b", with_ours(source)) for source in sources)
    assert all("print(" in source for source in sources), "a program that prints nothing shows nothing"
