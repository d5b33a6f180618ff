"""Options of tinytorch's own modules: one name means one kind everywhere, and what is of another kind is refused."""
import functools
import inspect
import operator

import numpy as np

from tinytorch.vocabulary.arguments import shown


def is_whole(value):
    try:
        return not isinstance(value, bool) and operator.index(value) is not None
    except (TypeError, ValueError):
        return False


def is_number(value): return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def are_whole(value): return is_whole(value) or isinstance(value, (tuple, list)) and all(map(is_whole, value))


def one_of(*texts): return lambda value: isinstance(value, str) and value in texts


KINDS = {  # names of options: what is said of their kind, and whether a value is of it
    "dim in_features out_features num_embeddings embedding_dim padding_idx max_len head_dim in_channels out_channels"
    " groups num_features embed_dim num_heads num_kv_heads num_groups num_channels start_dim end_dim ignore_index":
        ("an int", is_whole),
    "eps p dropout negative_slope beta threshold label_smoothing alpha delta min_val max_val": ("a number", is_number),
    "momentum": ("a number or None", lambda x: x is None or is_number(x)),
    "kernel_size stride dilation normalized_shape unflattened_size": ("an int or several in a tuple", are_whole),
    "padding": ("an int, several in a tuple, 'same' or 'valid'", lambda x: are_whole(x) or one_of("same", "valid")(x)),
    "output_size": ("an int or several in a tuple", lambda x: are_whole([1 if n is None else n for n in x])
                    if isinstance(x, (tuple, list)) else is_whole(x)),
    "bias affine track_running_stats elementwise_affine inplace ceil_mode count_include_pad batch_first log_target"
    " qkv_bias":
        ("True or False", lambda x: isinstance(x, (bool, np.bool_, int))),
    "reduction": ("'mean', 'sum' or 'none'", one_of("mean", "sum", "none", "batchmean")),
    "approximate": ("'none' or 'tanh'", one_of("none", "tanh")),
}
KIND_OF = {name: kind for names, kind in KINDS.items() for name in names.split()}


def checked(init):
    """Return `__init__` of a module, which looks at its options first.

    Raises: TypeError that names an option of a wrong kind, ValueError for a word that is none of the option's.
    """
    signature = inspect.signature(init)

    @functools.wraps(init)
    def call(self, *args, **options):
        try:
            given = signature.bind(self, *args, **options).arguments
        except TypeError:  # Python's own words say best what is missing or too much
            return init(self, *args, **options)
        for name, value in given.items():
            if name in KIND_OF and not (value is None and signature.parameters[name].default is None):
                expected, fits = KIND_OF[name]
                if not fits(value):
                    error = ValueError if isinstance(value, str) and "'" in expected else TypeError
                    raise error(f"{type(self).__name__}: {name}: expected {expected}, got {shown(value)}")
        return init(self, *args, **options)
    return call
