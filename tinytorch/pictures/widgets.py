"""Attention maps, a softmax's temperature, and a line that is trained by hand."""
import numpy as np

from tinytorch.pictures.page import Picture

MOST_TOKENS, MOST_WEIGHTS = 64, 200_000


def attention(weights, tokens, keys=None, title="Attention"):
    """Return a Picture of attention weights (H, T, S) of one text, or a list with one such array for each layer.
    `tokens` are T texts, those that look; `keys`, S texts, what they look at, if None the same.
    Raises: ValueError for shapes that do not fit, and for more than 64 tokens or 200,000 weights."""
    layers = weights if isinstance(weights, (list, tuple)) else [weights]
    layers = [np.asarray(getattr(layer, "data", layer), dtype=float) for layer in layers]
    tokens = [str(token) for token in tokens]
    keys = tokens if keys is None else [str(key) for key in keys]
    for layer in layers:
        if layer.ndim != 3 or layer.shape[1:] != (len(tokens), len(keys)):
            raise ValueError(f"attention: got weights {layer.shape}, expected (heads, {len(tokens)}, {len(keys)}), as "
                             "many rows as tokens and columns as keys; of a batch, show one: weights[0]")
        if not np.isfinite(layer).all():
            raise ValueError("attention: got weights that are nan or infinite, expected shares from 0 to 1")
    if max(len(tokens), len(keys)) > MOST_TOKENS or sum(layer.size for layer in layers) > MOST_WEIGHTS:
        raise ValueError(f"attention: got {len(tokens)} tokens and {sum(layer.size for layer in layers):,} weights, at "
                         f"most {MOST_TOKENS} and {MOST_WEIGHTS:,} fit into a picture; show fewer")
    data = {"tokens": tokens, "keys": keys, "layers": [np.rint(layer * 1000).astype(int).tolist() for layer in layers]}
    return Picture("attention", title, data, 250 + 24 * len(tokens))


def temperature(logits, labels=None):
    """Return a Picture of softmax(logits / temperature), with a slider from 0.1 to 10; every share that it shows was
    computed by tinytorch's softmax. Raises: ValueError for no list of 1 to 32 finite numbers, and as many labels."""
    from tinytorch.nn.functional import softmax
    from tinytorch.tensor import Tensor
    logits = np.asarray(getattr(logits, "data", logits), dtype=float)
    labels = [f"logit {i}" for i in range(logits.size)] if labels is None else [str(label) for label in labels]
    if logits.ndim != 1 or not 1 <= logits.size <= 32 or not np.isfinite(logits).all() or len(labels) != logits.size:
        raise ValueError(f"temperature: got logits {logits.shape} and {len(labels)} labels, expected 1 to 32 finite "
                         "numbers and a label for each")
    stops = np.round(np.geomspace(0.1, 10, 41), 3)
    shares = [softmax(Tensor(logits / stop), dim=-1).data.round(4).tolist() for stop in stops]
    data = {"logits": [f"{x:.4g}" for x in logits], "labels": labels, "stops": stops.tolist(), "shares": shares}
    return Picture("temperature", "Softmax and its temperature", data, 190 + 40 * logits.size)


def line(x, y, weight=0.0, bias=0.0, lr=0.1):
    """Return a Picture of the points (x, y) and the line weight * x + bias, with sliders for both, the mean squared
    error, its gradients, and a button for one step of gradient descent.
    Raises: ValueError for x and y that are no lists of 1 to 200 finite numbers of the same length."""
    x, y = (np.asarray(getattr(v, "data", v), dtype=float) for v in (x, y))
    if x.ndim != 1 or x.shape != y.shape or not 1 <= x.size <= 200 or not np.isfinite([x, y]).all():
        raise ValueError(f"line: got x {x.shape} and y {y.shape}, expected the same 1 to 200 finite numbers of each")
    data = {"x": x.tolist(), "y": y.tolist(), "weight": float(weight), "bias": float(bias), "lr": float(lr)}
    return Picture("line", "A line, trained by hand", data, 560)
