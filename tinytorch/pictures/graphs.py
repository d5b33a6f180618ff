"""The computation graph, with the numbers of its forward and backward pass."""
import inspect

from tinytorch.autograd import topological_order
from tinytorch.drawing import draw
from tinytorch.pictures.page import Picture, table
from tinytorch.state import enable_grad, observed_by

MOST_OPERATIONS = 200


class GraphPicture(Picture):
    "A Picture of a graph; where no script may run, the drawing alone."
    def __init__(self, title, data, height, svg):
        super().__init__("graph", title, data, height)
        self.svg = svg

    def _repr_svg_(self):
        return self.svg


def graph(result, stepping=False, **names):
    """Return a Picture of the graph behind `result`, a Tensor of one number, or better a function that computes one:
    then it is watched, and each operation shows its value. Gradients are those of a backward pass that is made now and
    changes no `grad`; a button steps through it, and `stepping` begins there. Leaves are named by keyword, as in
    `draw`. Raises: ValueError for more than one number, more than 200 operations, and as `draw`."""
    values = {}
    if callable(result):
        with enable_grad(), observed_by(lambda half, *arrays: _kept(values, half, half(*arrays))):
            result = result()
    if result.data.size != 1:
        raise ValueError(f"graph: gradients are those of one number, got shape {result.shape}; take a sum or a mean")
    drawing = draw(result, **names)
    if len(drawing.labels) - len(drawing.leaves) > MOST_OPERATIONS:
        raise ValueError(f"graph: {len(drawing.labels) - len(drawing.leaves)} operations, at most {MOST_OPERATIONS} "
                         "fit into a picture; show one layer, or fewer steps")
    steps = _backward_steps(result, drawing)
    nodes = _nodes(result, drawing, values)
    data = {"nodes": [*nodes.values()], "steps": steps, "stepping": stepping,
            "edges": [[nodes[a]["id"], nodes[b]["id"]] for a, b in drawing.edges]}
    order = {key: node["id"] for key, node in nodes.items()}
    for step in steps:
        step["node"], step["given"] = order[step["node"]], [[order[key], *rest] for key, *rest in step["given"]]
    height = 58 * len(drawing.rows()) + 420
    return GraphPicture("Computation graph", data, min(height, 900), drawing.svg)


def _kept(values, half, out):
    values[id(half.__self__)] = out
    return out


def _backward_steps(result, drawing):
    """List what a backward pass does, operation by operation: {"node", "grad": what arrives, "given": lists of a
    parent, what it is handed, and the sum of what it has now}."""
    steps, sums = [], {}
    before = [(leaf, leaf.grad) for leaf in _leaves(result, drawing)]

    def watch(half, grad):
        operation, gradients = half.__self__, half(grad)
        step = {"node": id(operation), "grad": table(grad), "given": []}
        for parent, gradient in zip(operation.parents, gradients):
            if parent is not None:
                sums[id(parent)] = gradient + sums.get(id(parent), 0)  # a new array
                step["given"].append([id(parent), table(gradient), table(sums[id(parent)])])
        steps.append(step)
        return gradients

    try:
        for leaf, _ in before:
            leaf.grad = None
        with observed_by(watch):
            result.backward(retain_graph=True)
    finally:
        for leaf, grad in before:
            leaf.grad = grad
    return steps


def _leaves(result, drawing):
    found = {id(parent): parent for operation in topological_order(result.grad_fn) for parent in operation.parents}
    return [found[leaf] for leaf in drawing.leaves]


def _nodes(result, drawing, values):
    "Return {id: what is shown of an operation or leaf}."
    things = {id(thing): thing for thing in [*_leaves(result, drawing), *topological_order(result.grad_fn)]}
    values = {id(result.grad_fn): result.data, **values}
    nodes = {}
    for y, row in enumerate(drawing.rows()):
        for x, key in enumerate(row):
            thing, leaf = things[key], key in drawing.leaves
            value = thing.data if leaf else values.get(key)
            nodes[key] = {"id": len(nodes), "label": drawing.labels[key], "leaf": leaf, "row": y,
                          "x": x - (len(row) - 1) / 2, "value": None if value is None else table(value),
                          "code": "" if leaf else source_of(thing)}
    return nodes


def source_of(operation):
    "Return the source of an operation as its chapter has it, or of what can be found of it."
    plain = operation.plain or type(operation)
    for parts in ([plain], [plain.forward, plain.backward]):
        try:
            return "\n".join(inspect.getsource(part) for part in parts)
        except (OSError, TypeError):  # typed into a prompt, or into a notebook
            continue
    return f"class {plain.__name__}: its source is not in a file"
