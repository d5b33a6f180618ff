"""Pictures of a graph, as SVG."""

__all__ = ["Drawing", "draw"]

from html import escape

from tinytorch.autograd import FREED, topological_order
from tinytorch.ops.elementwise import Function


class Drawing:
    "A graph: `labels` {node: text}, `edges` [(from, to)] in topological order, a set of `leaves`; `svg` draws it."
    def __init__(self, labels, edges, leaves):
        self.labels, self.edges, self.leaves = labels, edges, leaves
    def rows(self):
        "List the nodes by row, from the top: an operation below all that feeds it, a leaf right above its first use."
        depth = dict.fromkeys(self.labels, 0)
        for a, b in self.edges:
            depth[b] = max(depth[b], depth[a] + 1)
        for leaf in self.leaves:
            depth[leaf] = min(depth[b] for a, b in self.edges if a == leaf) - 1
        return [[node for node in depth if depth[node] == row] for row in sorted(set(depth.values()))]
    @property
    def svg(self):
        rows = self.rows()
        width = max(map(len, rows)) * 156 + 24
        place = {node: (width // 2 + 156 * i - 78 * (len(row) - 1), 58 * r + 24)
                 for r, row in enumerate(rows) for i, node in enumerate(row)}  # the middle of a box's upper edge
        parts = [f'<path d="M{x1} {y1 + 34} C{x1} {y1 + 46} {x2} {y2 - 12} {x2} {y2}" fill="none" stroke="#888"/>'
                 for (x1, y1), (x2, y2) in [(place[a], place[b]) for a, b in self.edges]]
        for node, (x, y) in place.items():
            style = 'rx="17" fill="#e8f3e8"' if node in self.leaves else 'rx="3" fill="#eef2fa"'
            parts.append(f'<rect x="{x - 66}" y="{y}" width="132" height="34" {style} stroke="#667"/>'
                         f'<text x="{x}" y="{y + 21}" text-anchor="middle">{escape(self.labels[node])}</text>')
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{len(rows) * 58 + 24}" '
                f'font-family="sans-serif" font-size="12">{"".join(parts)}</svg>')
    def _repr_svg_(self): return self.svg


def draw(tensor, **names):
    """Return a Drawing of the graph behind `tensor`; leaves are named by keyword: draw(loss, weight=w, bias=b).
    Labels: "MatMul (2, 1)", "weight (3, 1)" or else "leaf (3, 1)"; an input used twice has two edges.
    Raises: ValueError where nothing was recorded, or a backward pass has freed the graph."""
    if tensor.grad_fn is None or tensor.grad_fn.parents is FREED:
        raise ValueError("draw: no graph here: nothing requires a gradient, or backward has freed it; draw before")
    name_of = {id(leaf): name for name, leaf in names.items()}
    labels, edges, leaves = {}, [], set()
    for operation in topological_order(tensor.grad_fn):
        labels[id(operation)] = f"{operation.name} {operation.out_shape}"
        for parent in [parent for parent in operation.parents if parent is not None]:
            edges.append((id(parent), id(operation)))
            if not isinstance(parent, Function):
                leaves.add(id(parent))
                labels[id(parent)] = f"{name_of.get(id(parent), 'leaf')} {parent.shape}"
    return Drawing(labels, edges, leaves)
