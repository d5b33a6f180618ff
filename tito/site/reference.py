"""The reference: signatures and docstrings of what the package offers, with links among them and to the source.

Many names are made while the package is imported (`tinytorch.exp` is made of the method), so it is imported and looked
at; a reader of source text would miss them.
"""

import ast
import importlib
import inspect
import math
import re
import textwrap
import types
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tito.course import chapters
from tito.site.pages import Page, escaped, fenced

FACES = {  # what PyTorch's users write; all their names are for users
    "tinytorch": "Tensors and functions",
    "tinytorch.nn": "Layers and models",
    "tinytorch.nn.functional": "Functions of layers",
    "tinytorch.nn.init": "First weights",
    "tinytorch.nn.utils": "Gradients and parameters",
    "tinytorch.optim": "Optimizers",
    "tinytorch.optim.lr_scheduler": "Learning rates",
    "tinytorch.utils.data": "Datasets and batches",
    "tinytorch.diagnosis": "Why it does not learn",
    "tinytorch.fast": "Faster forms",
}
ROOMS = {  # modules of which users import some names
    "tinytorch.ops.elementwise": "Operations, element by element",
    "tinytorch.ops.reductions": "Reductions",
    "tinytorch.ops.shapes": "Shapes and products",
    "tinytorch.gradcheck": "Measured gradients",
    "tinytorch.tokenizers": "Tokenizers",
    "tinytorch.datasets": "Data sets",
    "tinytorch.training": "Training",
    "tinytorch.checkpoint": "Checkpoints",
    "tinytorch.runs": "Folders of runs",
    "tinytorch.generation": "Generation",
    "tinytorch.pretrained": "Published weights",
    "tinytorch.profiling": "Profiles",
    "tinytorch.counting": "Costs",
    "tinytorch.quantization": "Fewer bits",
    "tinytorch.pruning": "Pruning",
    "tinytorch.distillation": "Distillation",
    "tinytorch.speculative": "Speculative decoding",
    "tinytorch.recomputation": "Activations again",
    "tinytorch.scaling": "Scaling laws",
    "tinytorch.distributed": "Ranks",
    "tinytorch.capstone": "Honest comparisons",
}
WIDE = 88  # columns of a signature on one line
_import = re.compile(r"from (tinytorch[\w.]*) import (\([^)]*\)|[^\n\\]+)")


@dataclass
class Entry:
    """A function or class as it is offered: under a name, in a namespace."""

    space: str
    name: str
    what: object
    parts: list["Entry"] = field(default_factory=list)

    @property
    def path(self) -> str:
        return f"{self.space}.{self.name}"

    @cached_property
    def plain(self):
        """What was written, below decorators and wrappers."""
        what = self.what.fget if isinstance(self.what, property) else self.what
        what = what.__func__ if isinstance(what, (classmethod, staticmethod)) else what
        return inspect.unwrap(what) if callable(what) else what

    @property
    def doc(self) -> str:
        own = inspect.cleandoc(getattr(self.plain, "__doc__", None) or "")
        if inspect.isclass(self.plain):
            return own or answer(getattr(self.plain, "forward", None))
        return own or inspect.getdoc(self.plain) or answer(self.plain)

    @cached_property
    def source(self) -> tuple[str, int] | None:
        """(path of the file, line), None for what was not written in a file of the package."""
        try:
            file, line = inspect.getsourcefile(self.plain), inspect.findsource(self.plain)[1] + 1
        except (TypeError, OSError):
            return None
        _, inside, path = Path(file or "").as_posix().rpartition("/tinytorch/")
        return (f"tinytorch/{path}", line) if inside else None

    @property
    def parameters(self) -> list[str]:
        try:
            return list(inspect.signature(self.plain).parameters)
        except (TypeError, ValueError):
            return []


def answer(function) -> str:
    """What a function without a docstring returns, if that is all it does: the operation's own words, or the code."""
    try:
        (statement,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0].body
    except (TypeError, OSError, SyntaxError, ValueError, AttributeError):
        return ""
    if not isinstance(statement, ast.Return) or statement.value is None:
        return ""
    code = ast.unparse(statement.value)
    for part in ast.walk(statement.value):  # such as shapes.Flip(...), which is applied
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            operation = getattr(function.__globals__.get(part.value.id), part.attr, None)
            if isinstance(operation, type) and operation.__doc__ and not operation.__module__.startswith("numpy"):
                return f"Return {inspect.cleandoc(operation.__doc__)}"
    return f"Return `{code}`." if len(code) <= WIDE else ""


def reference_pages(root: Path) -> list[Page]:
    """A page for each namespace, and one for Tensor, whose methods are many."""
    entries = all_entries(root)
    links = places(entries)
    return [page_of(space, title, entries[space], links) for space, title in titles().items()]


def titles() -> dict[str, str]:
    return {"tinytorch": FACES["tinytorch"], "tinytorch.Tensor": "The tensor", **FACES, **ROOMS}


def all_entries(root: Path) -> dict[str, list[Entry]]:
    imported = imported_names(root)
    found = {space: offered(space) for space in FACES}
    found |= {space: [one for one in offered(space) if one.name in imported.get(space, ())] for space in ROOMS}
    tensor = next(one for one in found["tinytorch"] if one.name == "Tensor")
    found["tinytorch.Tensor"], tensor.parts = tensor.parts, []
    return found


def imported_names(root: Path) -> dict[str, set[str]]:
    """Which names the chapters, milestones, patients and documents import from each module: those are for users."""
    files = [*root.glob("modules/*.ipynb"), *root.glob("docs/*.md"), root / "README.md",
             *root.glob("milestones/**/*.py"), *root.glob("clinic/*.py")]  # fmt: skip
    found: dict[str, set[str]] = {}
    for file in files:
        for module, names in _import.findall(file.read_text(encoding="utf-8").replace("\\n", "\n")):
            found.setdefault(module, set()).update(re.findall(r"\w+", re.sub(r"#.*", "", names)))
    return found


def offered(space: str) -> list[Entry]:
    """The public functions and classes of a module: of those that it imports only what comes from the package."""
    module = importlib.import_module(space)
    own = space in FACES
    found = []
    for name, what in vars(module).items():
        home = getattr(what, "__module__", None) or ""
        if name.startswith("_") or isinstance(what, types.ModuleType) or not callable(what):
            continue
        if home == space or (own and home.startswith("tinytorch") and (space == "tinytorch" or name != "Tensor")):
            found.append(Entry(space, name, what, methods(f"{space}.{name}", what)))
    return sorted(found, key=lambda one: (not inspect.isclass(one.what), one.name.lower()))


def methods(path: str, what) -> list[Entry]:
    """The public methods and properties that a class of the package brings along, in order: not what all tensors and
    all modules have, unless it is Tensor or Module itself."""
    if not inspect.isclass(what):
        return []
    found, common = {}, {kind for base in bases() if what is not base for kind in base.__mro__}
    for kind in what.__mro__:
        if not kind.__module__.startswith("tinytorch") or kind in common:
            continue
        for name, method in vars(kind).items():
            written = isinstance(method, (types.FunctionType, property, classmethod, staticmethod))
            if not name.startswith("_") and written and name not in ("forward", "backward"):
                found.setdefault(name, Entry(path, name, method))
    return sorted(found.values(), key=lambda one: one.name)


def bases() -> tuple[type, type]:
    from tinytorch import Tensor, nn  # where this is used, so that `tito` works beside a package that does not

    return Tensor, nn.Module


def places(entries: dict[str, list[Entry]]) -> dict[str, str]:
    """Where each name is described: by its whole path, and by the bare name where that means one thing first."""
    found = {}
    for space, listed in entries.items():
        for one in listed:
            for name in (one, *one.parts):
                found.setdefault(name.path, f"{space}.md#{name.path}")
    for path, place in list(found.items()):
        found.setdefault(path.rpartition(".")[2], place)
    return found


# ---- as Markdown


def page_of(space: str, title: str, entries: list[Entry], links: dict[str, str]) -> Page:
    page = Page(space, space.removeprefix("tinytorch."))
    page.lines.append(f"# {title}: `{space}`")
    about = "" if space == "tinytorch.Tensor" else inspect.getdoc(importlib.import_module(space)) or ""
    page.lines.append(prose(about, [], links, space))
    for one in entries:
        page.lines += described(one, links, 2)
        for part in one.parts:
            page.lines += described(part, links, 3)
    return page


def described(one: Entry, links: dict[str, str], level: int) -> list[str]:
    """Heading, signature, text, and where it is taught and written."""
    lines = [f"{'#' * level} {one.name} {{ #{one.path} data-toc-label=\"{one.name}\" }}",
             fenced(signature(one)), prose(one.doc, one.parameters, links, one.space)]  # fmt: skip
    return [line for line in [*lines, origin(one)] if line]


def signature(one: Entry) -> str:
    """The signature; of many arguments, one on a line."""
    if isinstance(one.what, property):
        return f"{one.name}  # a property"
    try:
        found = inspect.signature(one.plain)
    except (TypeError, ValueError):
        return f"{one.name}(...)"
    parts, star = [], False
    for parameter in found.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            parts.append("*")
        star |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        mark = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        default = "" if parameter.default is parameter.empty else f"={said(parameter.default)}"
        parts.append(f"{mark}{parameter.name}{default}")
    line = f"{one.name}({', '.join(parts)})"
    return line if len(line) <= WIDE else f"{one.name}(\n    " + ",\n    ".join(parts) + ",\n)"


def said(value) -> str:
    """A default as it would be typed."""
    if isinstance(value, dict) and value:
        return "{" + ", ".join(f"{key!r}: {said(part)}" for key, part in value.items()) + "}"
    if isinstance(value, float) and math.isinf(value):
        return f"float('{value}')"
    text = getattr(value, "__name__", repr(value)) if callable(value) else repr(value)
    return re.sub(r"<(?:[\w.]+\.)?(\w+)[^>]*>", r"\1", text)


def prose(text: str, parameters: list[str], links: dict[str, str], space: str) -> str:
    """A docstring as Markdown: names of arguments as code, names of the package as links, what it raises apart."""
    text = re.sub(r"\s*\bRaises:? ", "\n\nRAISES ", text, count=1) if "Raises" in text else text
    parts = [as_markdown(part, parameters, links, space) for part in re.split(r"\n\s*\n", text) if part.strip()]
    return "\n\n".join(parts)


def as_markdown(part: str, parameters: list[str], links: dict[str, str], space: str) -> str:
    if all(line.startswith("    ") for line in part.split("\n")):
        return fenced(inspect.cleandoc(part))
    pieces = re.split(r"(`[^`]+`)", part)
    for place, piece in enumerate(pieces):
        if piece.startswith("`"):
            name = piece.strip("`")
            pieces[place] = name not in parameters and linked(name, links, space) or piece
        else:
            pieces[place] = with_arguments(escaped(piece), parameters)
    return "".join(pieces).replace("RAISES ", "**Raises:** ")


def linked(name: str, links: dict[str, str], space: str) -> str:
    """A link to where a name is described, "" where it is not."""
    bare = name.removesuffix("()")
    for path in (f"{space}.{bare}", bare, f"tinytorch.{bare}", f"tinytorch.Tensor.{bare}"):
        if re.fullmatch(r"[\w.]+", bare) and path in links:
            return f"[`{name}`]({links[path]})"
    return ""


def with_arguments(text: str, parameters: list[str]) -> str:
    """`name:` and `name, other:` of the arguments as code."""
    for name in parameters:
        typed = re.escape(name.replace("_", "\\_"))
        text = re.sub(rf"(?<![\w\\]){typed}(?=:|, [\w\\]+:)", f"`{name}`", text)
    return text


def origin(one: Entry) -> str:
    if one.source is None:
        return ""
    path, line = one.source
    taught = next((made for made in chapters() if path.removeprefix("tinytorch/") in made.files), None)
    where = f"[{path}, line {line}](../source/{path.replace('/', '.')}.md#__span-0-{line})"
    chapter = f"[chapter {taught.number}](../chapters/{taught.name}.md), " if taught else ""
    return f"{chapter}{where}\n{{ .origin }}"


# ---- the source


def source_pages(root: Path) -> list[Page]:
    """A page for each file of the package, with numbered lines; the search leaves them out."""
    pages = []
    for file in sorted((root / "tinytorch").rglob("*.py")):
        path, text = file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")
        page = Page(path.replace("/", "."), path, ["---\nsearch:\n  exclude: true\nhide:\n  - toc\n---", f"# {path}"])
        about = ast.get_docstring(ast.parse(text)) or ""
        page.lines += [escaped(about), numbered(text)]
        pages.append(page)
    return pages


def numbered(text: str) -> str:
    return fenced(text).replace("{ .python }", '{ .python linenums="1" }', 1)
