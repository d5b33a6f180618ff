"""Fetch Python for a browser: the Pyodide distribution (MPL-2.0) of the version that JupyterLite's kernel expects.

    python site/fetch_pyodide.py FOLDER      some 400 MB; then TINYTORCH_PYODIDE=FOLDER/pyodide
"""
import argparse
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ADDRESS = "https://github.com/pyodide/pyodide/releases/download/{0}/pyodide-{0}.tar.bz2"


def fetch(version, folder):
    "Unpack the distribution into folder/pyodide, which appears only as a whole. Raises: OSError."
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        packed = Path(aside, "pyodide.tar.bz2")
        with urlopen(ADDRESS.format(version), timeout=60) as answer, open(packed, "wb") as file:
            shutil.copyfileobj(answer, file)
        with tarfile.open(packed) as archive:
            archive.extractall(aside, filter="data")
        if not Path(aside, "pyodide", "pyodide-lock.json").is_file():
            raise OSError("the archive holds no pyodide/pyodide-lock.json")
        Path(aside, "pyodide").rename(folder / "pyodide")
    return folder / "pyodide"


def main():
    from jupyterlite_pyodide_kernel.constants import PYODIDE_VERSION

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", default=PYODIDE_VERSION, help=f"default {PYODIDE_VERSION}")
    args = parser.parse_args()
    try:
        print(f"export TINYTORCH_PYODIDE={fetch(args.version, args.folder)}")
    except (URLError, OSError, tarfile.TarError) as error:
        sys.exit(f"fetch_pyodide: not fetched, nothing is left behind: {error}")


if __name__ == "__main__":
    main()
