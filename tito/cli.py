"""Entry point of `tito`: says which extra is missing before anything that needs it is imported."""

import sys

from tito.install import how_to_install

COURSE_PACKAGES = {
    "ipykernel", "jupyter_client", "matplotlib", "nbclient", "nbdev", "nbformat", "rich", "typer",
}  # fmt: skip


def main() -> None:
    """Run the command line. Exit status: 0 done, 1 a check failed, 2 bad input."""
    try:
        from tito.commands import app

        app(prog_name="tito")
    except ModuleNotFoundError as error:
        package = (error.name or "").split(".")[0]
        if package not in COURSE_PACKAGES:
            raise
        print(f"tito needs {package}: {how_to_install('course')}", file=sys.stderr)
        sys.exit(2)
