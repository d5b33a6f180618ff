"""Patterns that cut text into pieces before bytes are paired: the package regex knows \\p{L} and the like."""


def compiled(pattern):
    "Return a pattern, compiled by `regex`. Raises: ImportError, without it."
    try:
        import regex
    except ImportError as error:
        raise ImportError("BPETokenizer needs the package regex: pip install regex") from error
    return regex.compile(pattern)
