"""The repository's documents as pages: links among them stay links, links to other files lead to the repository."""

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from tito.course import milestones
from tito.project import TitoError
from tito.site.pages import Page

DOCUMENTS = {  # room of the site: {page: (document, its name in the navigation)}
    "course": {
        "course": ("docs/course.md", "Working through it"),
        "capstone": ("docs/capstone.md", "The capstone"),
        "instructors": ("docs/instructors.md", "For instructors"),
        "contributing": ("CONTRIBUTING.md", "For authors"),
    },
    "measured": {
        "benchmarks": ("benchmarks/README.md", "Speed"),
        "efficiency": ("docs/efficiency.md", "Smaller and faster"),
        "diagnosis": ("docs/diagnosis.md", "Finding faults"),
    },
}
HOME = "index"
ROOMS = {"README.md": f"{HOME}.md", "tinytorch": "reference/tinytorch.md", "milestones": "milestones/index.md",
         "clinic": "clinic/index.md"}  # fmt: skip
_places = {document: f"{room}/{page}.md" for room, pages in DOCUMENTS.items() for page, (document, _) in pages.items()}
_pieces = re.compile(
    r"(?P<code>^(?P<fence>```+).*?^(?P=fence)[ ]*$|(?P<ticks>`+)(?!`)[^\n]+?(?<!`)(?P=ticks)(?!`)(?!\]\())"
    r"|(?P<text>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^()\s]+)\)",
    re.DOTALL | re.MULTILINE,
)
_included = re.compile(r"<!-- (\S+\.md): (.+?) -->")


@dataclass(frozen=True)
class Library:
    """Where documents are read, and the address of their repository, "" for none."""

    root: Path
    repository: str = ""

    def pages(self, room: str) -> list[Page]:
        """The pages of a room. Raises: TitoError for a link to what is not there."""
        return [self.page(room, name, *what) for name, what in DOCUMENTS[room].items()]

    def page(self, room: str, name: str, document: str, title: str) -> Page:
        page = Page(name, title)
        page.lines.append(self.linked(self.text(document), document, f"{room}/", page))
        return page

    def home(self, marks: dict[str, str]) -> Page:
        """The first page: site/pages/index.md, whose links are as in README.md.

        In the place of `<!-- README.md: Start -->` stands that section, and of each of `marks` what it names.
        """
        page = Page(HOME, "Home")
        text = self.linked(self.text("site/pages/index.md"), "README.md", "", page)
        text = _included.sub(lambda m: self.linked(self.section(m[1], m[2]), m[1], "", page), text)
        for mark, instead in marks.items():
            text = text.replace(f"<!-- {mark} -->", instead)
        page.lines.append(text)
        return page

    def section(self, document: str, title: str) -> str:
        """What stands below a heading of a document. Raises: TitoError where it has no such heading."""
        found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", self.text(document), re.DOTALL | re.MULTILINE)
        if not found:
            raise TitoError(f"site/pages/index.md wants the section {title!r} of {document}, which has none")
        return found[1].strip()

    def text(self, document: str) -> str:
        return (self.root / document).read_text(encoding="utf-8")

    def linked(self, text: str, document: str, room: str, page: Page) -> str:
        """`text` of a document, with its links as they are from a room; pictures become files of `page`."""

        def piece(found):
            return found[0] if found["code"] else self.link(found["text"], found["target"], document, room, page)

        return _pieces.sub(piece, text)

    def link(self, text: str, target: str, document: str, room: str, page: Page) -> str:
        address, _, part = target.partition("#")
        if not address or ":" in address:
            return f"{text}({target})"
        path = posixpath.normpath(posixpath.join(posixpath.dirname(document), address))
        if not (self.root / path).exists():
            raise TitoError(f"{document} links to {target}, which is not there")
        if text.startswith("!"):
            page.files[posixpath.basename(path)] = (self.root / path).read_bytes()
            return f"{text}({page.name}/{posixpath.basename(path)})"
        if shown := place_of(path):
            return f"{text}({posixpath.relpath(shown, room or '.')}{'#' * bool(part)}{part})"
        return f"{text}(https://github.com/{self.repository}/tree/HEAD/{path})" if self.repository else text[1:-1]


def place_of(path: str) -> str:
    """The page that shows a file or folder of the repository, "" for none."""
    folder, file = posixpath.split(path)
    if folder == "modules" and file.endswith(".ipynb"):
        return f"chapters/{file.removesuffix('.ipynb')}.md"
    if folder.startswith("tinytorch") and file.endswith(".py"):
        return f"source/{path.replace('/', '.')}.md"
    every = _places | ROOMS | {one.path: f"milestones/{one.name}.md" for one in milestones()}
    return every.get(path) or every.get(f"{path}/README.md") or ""
