"""Sequences of different lengths as one tensor."""
from tinytorch.vocabulary.creation import full
from tinytorch.vocabulary.functions import cat, stack, tensors_of


def pad_sequence(sequences, batch_first=False, padding_value=0.0):
    """Return sequences (L_i, ...) behind which `padding_value` fills up to the longest: (L, N, ...), or (N, L, ...) if
    `batch_first`. Raises: ValueError for none."""
    sequences = tensors_of("pad_sequence", sequences)
    if not sequences:
        raise ValueError("pad_sequence: expected at least one sequence, got none")
    longest = max(len(x) for x in sequences)
    padded = [cat([x, full((longest - len(x), *x.shape[1:]), padding_value, dtype=x.dtype)]) for x in sequences]
    return stack(padded, dim=0 if batch_first else 1)
