"""Chapters for Google Colab: a student's notebook that begins with the line that installs the package.

Colab opens notebooks that lie in a repository on GitHub: the site's workflow puts these on the branch `colab`.
"""

from pathlib import Path

from tito.page import code, words
from tito.strip import notebook_bytes, stripped

BRANCH = "colab"
EXTRAS = {"18_compiled_kernels": "page,fast"}  # all others import what they import in a browser: `page`
HOW_TO_WORK = """\
The cell above installs the library; Colab asks for a restart where another NumPy was loaded. Run the notebook from the
top, put your code in the place of each `raise NotImplementedError(...)`, and the next check below it tests what you
wrote. Colab keeps nothing by itself: *File, Save a copy in Drive*. In a workspace on your own computer there are suites
that say more, and what you write becomes the library.
"""


def package_at(repository: str) -> str:
    """The address from which pip installs the newest version of a repository on GitHub."""
    return f"git+https://github.com/{repository}"


def install_line(chapter: str, package: str) -> str:
    """The line that installs `package`: an address that pip takes, or the path of a wheel."""
    address = package if "://" in package else Path(package).resolve().as_uri()
    return f'%pip install -q "tinytorch-course[{EXTRAS.get(chapter, "page")}] @ {address}"'


def colab_notebook(notebook: Path, package: str) -> bytes:
    """A chapter without its solutions, as Colab opens it."""
    given = stripped(notebook)
    given["cells"][:0] = [code("colab-install", install_line(notebook.stem, package))]
    given["cells"].insert(2, words("colab-how-to-work", HOW_TO_WORK))
    return notebook_bytes(given)


def colab_link(chapter: str, repository: str) -> str:
    return f"https://colab.research.google.com/github/{repository}/blob/{BRANCH}/{chapter}.ipynb"
