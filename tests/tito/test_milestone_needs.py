"""What a milestone says that it needs is what it uses: the chapters of the files that it takes names from, and of those
that these files take theirs from.
"""
import ast
import importlib
from types import ModuleType

import pytest

from tito.course import chapters, milestones

PLUMBING = {"tinytorch.runs", "tinytorch.checkpoint"}  # how a run is written down; a milestone is not about that
BESIDE = {"tinytorch.tokenizer_files": "19"}  # written by hand, on what that chapter and those before it have


def owners():
    "{module: number of the chapter that exports it, or that it belongs to}"
    return BESIDE | {f"tinytorch.{path.removesuffix('.py').replace('/', '.')}": made.number
                     for made in chapters() for path in made.files}


def home(thing):
    "The module that a function or class is from, or that a module is; "" for other values."
    name = thing.__name__ if isinstance(thing, ModuleType) else getattr(thing, "__module__", "")
    return name if isinstance(name, str) else ""


def taken_by(nodes):
    "The modules of what statements of a script take from tinytorch: `from tinytorch.optim import SGD`, `nn.Linear`."
    nodes, names = [node for statement in nodes for node in ast.walk(statement)], {}
    for node in nodes:
        for alias in node.names if isinstance(node, ast.Import | ast.ImportFrom) else []:
            if isinstance(node, ast.Import) and alias.name.startswith("tinytorch"):
                module = importlib.import_module(alias.name)
                names[alias.asname or "tinytorch"] = module if alias.asname else importlib.import_module("tinytorch")
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tinytorch"):
                names[alias.asname or alias.name] = getattr(importlib.import_module(node.module), alias.name)
    mentioned = [names[node.id] for node in nodes if isinstance(node, ast.Name) and node.id in names]
    attributes = [getattr(names[node.value.id], node.attr) for node in nodes
                  if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
                  and isinstance(names.get(node.value.id), ModuleType)]
    return {home(thing) for thing in mentioned + attributes}


def statements(milestone):
    "Those of the script, and of scripts beside it what it imports from there, with what that mentions."
    found = list(milestone.tree.body)
    for node in milestone.tree.body:
        paths = milestone.file.parents[1].rglob(f"{getattr(node, 'module', '') or '-'}.py")
        for path in paths if isinstance(node, ast.ImportFrom) else []:
            body, wanted, kept = ast.parse(path.read_text()).body, {alias.name for alias in node.names}, []
            while new := [part for part in body if part not in kept and defined(part) & wanted]:
                kept += new
                wanted |= {name.id for part in new for name in ast.walk(part) if isinstance(name, ast.Name)}
            found += kept + [part for part in body if isinstance(part, ast.Import | ast.ImportFrom)]
    return found


def defined(node):
    targets = getattr(node, "targets", [node])
    return {getattr(target, "name", None) or getattr(target, "id", "") for target in targets} - {""}


def used(milestone):
    "The numbers of the chapters whose modules it uses, directly or through others."
    owner, waiting, found = owners(), taken_by(statements(milestone)), set()
    while waiting:
        module = waiting.pop()
        if module in owner and module not in found | PLUMBING:
            found.add(module)
            below = {home(thing) for thing in vars(importlib.import_module(module)).values()}
            waiting |= {other for other in below if other in owner and owner[other] <= owner[module]}
    return tuple(sorted({owner[module] for module in found}))


@pytest.mark.parametrize("milestone", milestones(), ids=lambda milestone: milestone.name)
def test_a_milestone_needs_what_it_uses(milestone):
    assert tuple(made.number for made in milestone.needs) == used(milestone)
