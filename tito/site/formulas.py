"""Formulas as MathML, made while the site is built: a browser draws them itself, without a script or a font of ours.

A Markdown extension, named in site/mkdocs.yml. What stands in code stays as it is.
"""

import re

from latex2mathml.converter import convert
from markdown.extensions import Extension
from markdown.preprocessors import Preprocessor

AFTER_FENCES = 24  # fenced code is taken out of the text at 25, HTML blocks at 20
_pieces = re.compile(
    r"(?P<code>(?P<ticks>`+)(?!`).+?(?<!`)(?P=ticks)(?!`))"
    r"|\$\$(?P<block>.+?)\$\$"
    r"|(?<![\\$\w])\$(?P<inline>[^\s$](?:[^$\n]|\n(?!\n))*?)(?<!\s)\$(?![\d$])",
    re.DOTALL,
)


class Formulas(Preprocessor):
    def run(self, lines):
        return _pieces.sub(self.drawn, "\n".join(lines)).split("\n")

    def drawn(self, found) -> str:
        if found["code"]:
            return found[0]
        display = "block" if found["block"] else "inline"
        return self.md.htmlStash.store(mathml(found["block"] or found["inline"], display))


def mathml(formula: str, display: str) -> str:
    """Return a formula as MathML. Raises: ValueError, which names the formula, where it cannot be read."""
    try:
        drawn = convert(formula.strip(), display=display)
    except Exception as error:  # the library has a class of its own for each way to fail
        raise ValueError(f"not a formula that can be drawn: {formula!r} ({type(error).__name__}: {error})") from error
    return f'<span class="formula formula-{display}">{drawn}</span>'


class FormulasExtension(Extension):
    def extendMarkdown(self, md):
        md.preprocessors.register(Formulas(md), "formulas", AFTER_FENCES)


def makeExtension(**options):
    return FormulasExtension(**options)
