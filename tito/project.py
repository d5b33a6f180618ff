"""Where things are in the repository, and the error that a user can act on."""

from pathlib import Path


class TitoError(Exception):
    """Bad input. The message says what was found, what was expected and how to fix it; exit status 2."""


def find_root(start: Path) -> Path:
    """The nearest folder, from `start` upwards, that holds modules/ and pyproject.toml.

    Raises TitoError where there is none.
    """
    for folder in [start, *start.parents]:
        if (folder / "modules").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise TitoError(
        f"no folder with modules/ and pyproject.toml at or above {start}:"
        " go to the repository, or pass --root"
    )


def notebooks(root: Path) -> list[Path]:
    """The chapters, in order. Raises TitoError where there are none."""
    found = sorted((root / "modules").glob("*.ipynb"))
    if not found:
        raise TitoError(f"no notebook in {root / 'modules'}: a chapter is a file modules/NN_name.ipynb")
    return found


def chosen_notebooks(root: Path, numbers: list[str]) -> list[Path]:
    """The chapters whose number or name (03, 3, tensor, 03_tensor.ipynb) was given; all of them for an empty list.

    Raises TitoError for one that does not exist.
    """
    every = notebooks(root)
    chosen = []
    for number in numbers:
        named = Path(number).name.zfill(2)
        found = [path for path in every if named in (path.stem, path.name, *path.stem.split("_", 1))]
        if not found:
            have = ", ".join(path.stem for path in every)
            raise TitoError(f"no chapter {number!r}: expected a number or a name of {have}")
        chosen += found
    return chosen or every
