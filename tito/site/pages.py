"""What all pages are made of: a page in Markdown, fenced code, and text that is to be shown as it is."""

import re
from dataclasses import dataclass, field
from html import escape


@dataclass
class Page:
    """A page in Markdown, and the files that it shows, by their name in the folder beside it."""

    name: str
    title: str
    lines: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    about: str = ""

    @property
    def text(self) -> str:
        return "\n\n".join(self.lines) + "\n"


def fenced(source: str, language: str = "python", title: str = "") -> str:
    """A fenced block; longer fences around text that holds some."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", source)), default=0))
    named = f' title="{escape(title)}"' if title else ""
    return f"{fence} {{ .{language}{named} }}\n{source.strip(chr(10))}\n{fence}"


def escaped(text: str) -> str:
    """Text in which nothing means something to Markdown."""
    return re.sub(r"([\\*_<\[\]$#|])", r"\\\1", text)
