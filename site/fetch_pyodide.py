"""Fetch Python for a browser: the Pyodide distribution (MPL-2.0) of the version that JupyterLite's kernel expects.

    python site/fetch_pyodide.py FOLDER      some 400 MB; then TINYTORCH_PYODIDE=FOLDER/pyodide

The interpreter comes as npm's package, whose digest stands here. In it lies a list of all packages with their digests;
they come from where Pyodide publishes them. What has another digest is refused.
"""
import argparse
import hashlib
import json
import sys
import tarfile
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

INTERPRETER = "https://registry.npmjs.org/pyodide/-/pyodide-{}.tgz"
PACKAGES = "https://cdn.jsdelivr.net/pyodide/v{}/full"
DIGESTS = {  # sha256 of the interpreter's package
    "314.0.6": "d78ac549b28a2a58600cd06f44e017024151775f8c6b2d73fab1475400d38ea2",
}
AT_ONCE = 8  # downloads


def fetch(interpreter, digest, packages, folder):
    """Put the distribution into folder/pyodide, which appears only as a whole, from two addresses.
    Raises: OSError, tarfile.TarError; ValueError for a wrong digest."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as aside:
        packed = Path(aside, "pyodide.tgz")
        download(interpreter, digest, packed)
        with tarfile.open(packed) as archive:
            archive.extractall(aside, filter="data")
        whole = Path(aside, "package")
        listed = json.loads((whole / "pyodide-lock.json").read_text(encoding="utf-8"))["packages"].values()
        names = [one["file_name"] for one in listed]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            every = pool.map(download, (f"{packages}/{name}" for name in names), (one["sha256"] for one in listed),
                             (whole / name for name in names))  # fmt: skip
            list(every)  # the first error is raised here
        whole.rename(folder / "pyodide")
    return folder / "pyodide"


def download(address, digest, path):
    "Write what is at an address to `path`. Raises: OSError; ValueError where its sha256 is another than `digest`."
    with urlopen(address, timeout=60) as answer:
        content = answer.read()
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise ValueError(f"{address} has sha256 {found}, expected {digest}")
    path.write_bytes(content)


def main():
    from jupyterlite_pyodide_kernel.constants import PYODIDE_VERSION

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--version", default=PYODIDE_VERSION, help=f"default {PYODIDE_VERSION}")
    parser.add_argument("--sha256", help="of npm's package of that version; known for " + ", ".join(DIGESTS))
    args = parser.parse_args()
    digest = args.sha256 or DIGESTS.get(args.version)
    if digest is None:
        parser.error(f"no digest is known here of version {args.version}: expected --sha256, of "
                     f"{INTERPRETER.format(args.version)}")
    try:
        whole = fetch(INTERPRETER.format(args.version), digest, PACKAGES.format(args.version), args.folder)
        print(f"export TINYTORCH_PYODIDE={whole}")
    except (URLError, OSError, ValueError, tarfile.TarError) as error:
        sys.exit(f"fetch_pyodide: not fetched, nothing is left behind: {error}")


if __name__ == "__main__":
    main()
