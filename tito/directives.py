"""What nbdev makes of a notebook, for where it cannot be installed: a browser has no place for what it needs.

A cell's directives are the lines `#| name value` at its top, among blank ones and cell magics; the rest is its source.
"""

import re

EXPORTS = ("exporti", "export", "exports")
_heads = re.compile(r"(?:[ \t]*#[ \t]*\|.*(?:\n|\Z)|[ \t]*%%\w+.*(?:\n|\Z)|[ \t]*\n)*")
_directive = re.compile(r"[ \t]*#[ \t]*\|[ \t]*([^\s:]+)[ \t]*:?[ \t]?(.*?)[ \t]*")


def split(source: str) -> tuple[dict[str, str], str]:
    """({directive: value}, what is below them) of a cell."""
    heads = _heads.match(source)[0]
    found = [_directive.fullmatch(line) for line in heads.split("\n")]
    magics = [line + "\n" for line in heads.split("\n") if re.match(r"\s*%%\w+", line)]
    return {match[1]: match[2] for match in found if match}, "".join(magics) + source[len(heads):]


def exported(sources: dict[int, str]) -> tuple[list[str], dict[str | None, dict[int, str]]]:
    """(values of `default_exp`, {module, None for the default: {index: source} of its cells}) of {index: source}.

    Raises TypeError for a directive with too many values.
    """
    defaults, found = [], {}
    for index, source in sources.items():
        directives, rest = split(source)
        if "default_exp" in directives:
            defaults.append(one_of(directives["default_exp"].split() or ["", ""]))
        for directive in EXPORTS:
            if directive in directives:
                found.setdefault(one_of(directives[directive].split() or [None]), {})[index] = rest
    return defaults, found


def one_of(values: list[str | None]) -> str | None:
    """The only value. Raises TypeError for several."""
    if len(values) != 1:
        raise TypeError(f"got {' '.join(map(str, values)).strip() or 'none'}")
    return values[0]
