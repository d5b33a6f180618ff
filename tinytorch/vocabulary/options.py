"""Arguments of tinytorch's own modules and functions: one name means one kind, and what is of another is refused."""
import functools
import inspect
import math

import numpy as np

from tinytorch.vocabulary.arguments import shown
from tinytorch.vocabulary.methods import Vocabulary


def is_whole(value):
    whole = value.dtype.kind in "iu" and value.shape == () if hasattr(value, "shape") else isinstance(value, int)
    return whole and not isinstance(value, bool)


def is_number(value): return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def is_several(value): return hasattr(value, "__iter__") and not isinstance(value, (str, bytes, dict))


def listed(fits): return lambda value: isinstance(value, (tuple, list)) and all(map(fits, value))


def some(fits):
    "Return the check of one or several of what `fits`."
    return lambda value: fits(value) or listed(fits)(value)


def words(*texts):
    return f"one of {', '.join(map(repr, texts))}", lambda value: isinstance(value, str) and value in texts


KINDS = {  # names of arguments: what is said of their kind, whether a value is of it, and maybe whether it is in range
    "dim in_features out_features num_embeddings embedding_dim padding_idx max_len head_dim in_channels out_channels"
    " groups num_features embed_dim num_heads num_kv_heads num_groups num_channels start_dim end_dim ignore_index"
    " rank last_epoch warmup total": ("an int", is_whole),
    "eps p dropout negative_slope beta threshold label_smoothing alpha delta min_val max_val a b mean value gain gamma"
    " param start_factor end_factor factor eta_min min_lr pct_start base_momentum max_momentum"
    " clip_value floor norm_eps": ("a number", is_number),
    "momentum": ("a number or None", lambda x: x is None or is_number(x)),
    "kernel_size stride dilation normalized_shape unflattened_size": ("an int or several", some(is_whole)),
    "padding": ("an int, several, 'same' or 'valid'", lambda x: some(is_whole)(x) or words("same", "valid")[1](x)),
    "output_size": ("an int or several", lambda x: x is not None and some(lambda n: n is None or is_whole(n))(x)),
    "bias affine track_running_stats elementwise_affine inplace ceil_mode count_include_pad batch_first log_target"
    " optim.nesterov optim.centered shuffle drop_last cycle_momentum lowercase use_cache show qkv_bias"
    " pre_norm mlp_bias tied_head head_bias":
        ("True or False", lambda x: isinstance(x, (bool, np.bool_, int)) and x in (0, 1)),
    "reduction": ("'mean', 'sum' or 'none'", words("mean", "sum", "none", "batchmean")[1]),
    "approximate": words("none", "tanh"), "mode": words("fan_in", "fan_out"),
    "nonlinearity": words("linear", "sigmoid", "tanh", "relu", "leaky_relu"), "anneal_strategy": words("cos", "linear"),
    "ReduceLROnPlateau.mode": words("min", "max"), "threshold_mode": words("rel", "abs"),
    "optim.lr optim.momentum optim.weight_decay optim.eps optim.alpha optim.lr_decay std temperature weight_decay":
        ("a number of at least 0", is_number, lambda x: 0 <= x < math.inf),
    "optim.betas": ("two numbers in [0, 1)", listed(is_number), lambda x: len(x) == 2 and all(0 <= b < 1 for b in x)),
    "max_norm div_factor final_div_factor T_max Rotary.base rotary_base":
        ("a number above 0", is_number, lambda x: x > 0), "KVCache.model": ("a GPT", lambda x: hasattr(x, "context")),
    "top_p": ("a number above 0 and at most 1", is_number, lambda x: 0 < x <= 1),
    "repetition_penalty": ("a number above 0, 1 for none", is_number, lambda x: 0 < x < math.inf),
    "step_size batch_size batches context save_every accumulate evaluate_every total_steps epochs steps_per_epoch n"
    " top_k TokenDataset.stride vocab_size d_model mlp_hidden": ("an int from 1 on", is_whole, lambda x: x > 0),
    "threads": ("an int from 1 on, 'auto' or None", lambda x: x in (None, "auto") or is_whole(x) and x > 0),
    "TrainingLoop.steps linear_warmup.steps total_iters patience cooldown max_new_tokens num_layers":
        ("an int from 0 on", is_whole, lambda x: x >= 0),
    "milestones lengths": ("a list of numbers", lambda x: is_several(x) and all(map(is_number, x))),
    "stop_tokens": ("an id or several", lambda x: is_whole(x) or is_several(x) and all(map(is_whole, x))),
    "suppress_tokens Tokenizer.tokens_of.ids Subset.indices":
        ("several ints", lambda x: is_several(x) and hasattr(x, "__len__") and all(map(is_whole, x))),
    "tensor": ("a Tensor", lambda x: isinstance(x, Vocabulary)), "parameters": ("a Tensor or several", is_several),
    "text unknown": ("a text", lambda x: isinstance(x, str)), "lr_lambda": ("a function or several", some(callable)),
    "special_tokens": ("a list of texts", lambda x: is_several(x) and all(isinstance(one, str) for one in x)),
    "path folder vocab_path merges_path": ("a path", lambda x: isinstance(x, str) or hasattr(x, "__fspath__")),
    "generator": ("a seed or a NumPy Generator", lambda x: is_whole(x) or isinstance(x, np.random.Generator),
                  lambda x: not is_whole(x) or x >= 0),
    "dataset": ("a dataset, with a length", lambda x: hasattr(x, "__len__") and not isinstance(x, (str, dict))),
    "loader": ("a DataLoader or other iterable of batches", lambda x: is_several(x) and not isinstance(x, Vocabulary)),
    "model": ("a Module", lambda x: callable(x) and hasattr(x, "parameters")),
    "optimizer": ("an optimizer", lambda x: hasattr(x, "param_groups")), "max_lr": ("numbers", some(is_number)),
    "schedule": ("a schedule", lambda x: hasattr(x, "step")), "optim.dampening": ("a number", is_number, math.isfinite),
    "schedulers": ("schedules", listed(lambda x: hasattr(x, "rate"))), "callbacks": ("functions", listed(callable)),
    "loss_fn better evaluate collate_fn on_token multiplier": ("a function", callable),
}
KIND_OF = {name: kind for names, kind in KINDS.items() for name in names.split()}


def check(owner, name, value, expected, fits, in_range=None):
    "Raises: TypeError for a `value` of a wrong kind, ValueError for one out of range and for an unknown word."
    right = fits(value)
    if not right or in_range and not in_range(value):
        error = ValueError if right or isinstance(value, str) and "'" in expected else TypeError
        raise error(f"{owner}: {name}: expected {expected}, got {shown(value)}")


def check_settings(owner, settings, prefix="optim."):
    "Check the settings {name: value} of an optimizer, or others. Raises: as `check`."
    for name, value in settings.items():
        if prefix + name in KIND_OF:
            check(owner, name, value, *KIND_OF[prefix + name])


def checked(function):
    "Return a function, or the `__init__` of a class, that looks at its arguments first; a default None is right."
    owner, parameters = function.__qualname__.removesuffix(".__init__"), inspect.signature(function).parameters
    kinds = {name: KIND_OF.get(f"{owner}.{name}") or KIND_OF.get(name) for name in parameters}
    places = [name for name, parameter in parameters.items() if parameter.kind == parameter.POSITIONAL_OR_KEYWORD]

    @functools.wraps(function)
    def call(*args, **options):
        for name, value in (*zip(places, args), *options.items()):
            if kinds.get(name) and not (value is None and parameters[name].default is None):
                check(type(args[0]).__name__ if places[:1] == ["self"] else owner, name, value, *kinds[name])
        return function(*args, **options)
    return call
