"""A check as questions. `assert np.allclose(f(x), [1, 2])` becomes `ask(0, f(x))`: the sandbox sends what f(x) is, and
that it must be near [1, 2] is known, and decided, outside. What code in the sandbox does to NumPy, to `assert` or to
Python itself changes no answer, and the expected numbers are not there to be read.
"""

import ast
import math
from dataclasses import dataclass

import numpy as np

from tinytorch.gradcheck import compare_gradients
from tito.grading.plain import ASK

FUNCTIONS = set("abs float int max min round sum".split())
TYPES = set("bool float int str".split())
MODULES = {"np": np, "math": math}
GIVEN = MODULES | {"compare_gradients": compare_gradients}
NOT_OF_NUMPY = set("fromfile genfromtxt load loadtxt memmap random save savetxt savez".split())
METHODS = set("all any max mean min sum tolist".split())  # of arrays


@dataclass
class Question:
    """An assertion, or a part of one: `test` over the values `_0`, `_1`, ... that were sent."""

    test: str
    message: str = ""  # Python text as well, of names that only the process knows
    inside: str = ""  # all of the assertion
    trusting: bool = False  # its truth is decided inside, since what it is about is no data
    required: bool = False  # the reference comes by here

    def holds(self, values) -> bool:
        """Whether it is true of values that were sent; whatever goes wrong with them, it is not."""
        try:
            if self.trusting:
                return len(values) == 1 and values[0] is True
            names = {f"_{number}": value for number, value in enumerate(values)}
            return bool(eval(self.test, GIVEN | names))
        except Exception:
            return False


SAME_GRADIENTS = Question("compare_gradients('', 0, _0, _1) >= 0", inside="gradients agree with finite differences")


@dataclass
class Check:
    """A graded cell: what runs in the sandbox, and the questions that this asks."""

    program: str
    questions: list[Question]
    names: list[str]  # that it uses
    makes: list[str]  # functions and classes that it defines
    gradients: int = 0  # how many the reference compares
    origins: dict[str, list] | None = None  # of the names that are not the submission's; None until the reference ran


def from_json(parts: dict) -> Check:
    return Check(**parts | {"questions": [Question(**question) for question in parts["questions"]]})


def check_of(source: str, trusting: frozenset[int] = frozenset()) -> Check:
    """The check of a cell, with the questions of these numbers decided inside. Raises SyntaxError."""
    tree = ast.parse(source)
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    stored = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    used = sorted({name.id for name in names} - stored)
    makes = [node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    asking = Asking(stored, trusting)
    program = ast.unparse(ast.fix_missing_locations(asking.visit(tree)))
    return Check(program, asking.questions, [name for name in used if name not in makes], makes)


class Asking(ast.NodeTransformer):
    """Turns assertions into questions, and collects them."""

    def __init__(self, stored: set[str], trusting: frozenset[int]):
        self.stored, self.trusting, self.questions = stored, trusting, []

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        both = isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And)
        return [self.asked(part, node.msg) for part in (node.test.values if both else [node.test])]

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        testing = isinstance(node.value, ast.Call) and ast.unparse(node.value.func).startswith("np.testing.assert_")
        if not testing:
            return self.generic_visit(node)
        return self.asked(ast.Compare(node.value, [ast.Is()], [ast.Constant(None)]), None)

    def asked(self, part: ast.expr, message: ast.expr | None) -> ast.stmt:
        sent, number = [], len(self.questions)
        inside, said = ast.unparse(part), ast.unparse(message) if message else ""
        if number in self.trusting:
            sent, test = [ast.Call(ast.Name("bool", ast.Load()), [part], [])], ""
        else:
            test = ast.unparse(self.outside(part, sent))
        self.questions.append(Question(test, said, inside, number in self.trusting))
        return ast.Expr(ast.Call(ast.Name(ASK, ast.Load()), [ast.Constant(number), *sent], []))

    def outside(self, node: ast.expr, sent: list[ast.expr]) -> ast.expr:
        """`node` as it can be computed outside; what cannot is `sent`, from left to right, and has a name there."""
        parts = self.known(node)
        if parts is None:
            sent.append(node)
            return ast.Name(f"_{len(sent) - 1}", ast.Load())
        for name, value in parts.items():
            many = isinstance(value, list)
            setattr(node, name, [self.outside(one, sent) for one in value] if many else self.outside(value, sent))
        return node

    def known(self, node: ast.expr) -> dict | None:
        """The parts of an expression of which the rest is plain arithmetic and NumPy; None where it is not."""
        match node:
            case ast.Constant():
                return {}
            case ast.Name(id=name):
                return {} if name in (FUNCTIONS | TYPES) - self.stored else None
            case ast.Attribute(value=ast.Name(id="np" | "math" as module), attr=name):
                return {} if hasattr(MODULES[module], name) and name not in NOT_OF_NUMPY else None
            case ast.Attribute(value=ast.Attribute(value=ast.Name(id="np"), attr="testing")):
                return {}
            case ast.Attribute(value=value, attr=name) if name in METHODS and self.known(value):
                return {"value": value}
            case ast.Tuple() | ast.List() | ast.Set():
                return None if any(isinstance(one, ast.Starred) for one in node.elts) else {"elts": node.elts}
            case ast.UnaryOp():
                return {"operand": node.operand}
            case ast.keyword():
                return {"value": node.value}
            case ast.BinOp(op=ast.Pow()):
                return {} if isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant) else None
            case ast.BinOp():
                return {"left": node.left, "right": node.right}
            case ast.Compare():
                same = any(isinstance(op, ast.Is | ast.IsNot) for op in node.ops)
                constant = all(isinstance(one, ast.Constant) for one in node.comparators)  # is None
                return None if same and not constant else {"left": node.left, "comparators": node.comparators}
            case ast.Call():
                return self.known_call(node)
        return None

    def known_call(self, node: ast.Call) -> dict | None:
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        lazy = any(isinstance(one, ast.Starred | ast.GeneratorExp | ast.Lambda) for one in arguments)
        if lazy or any(keyword.arg is None for keyword in node.keywords):
            return None
        if self.known(node.func) is None or isinstance(node.func, ast.Name) and node.func.id not in FUNCTIONS:
            return None
        return {"func": node.func, "args": node.args, "keywords": node.keywords}
