"""What to type for an extra that is missing: that depends on where this installation came from."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

NAME = "tinytorch-course"
IN_A_CLONE = "pip install '.[{}]' in your clone of tinytorch"


def how_to_install(extra: str) -> str:
    """Return the command that adds an extra to this installation: by the folder or the file that it was made from."""
    try:
        source = distribution(NAME).read_text("direct_url.json")
    except PackageNotFoundError:  # runs from a folder that nobody installed
        source = None
    return command_for(extra, source)


def command_for(extra: str, source: str | None) -> str:
    """`source`: what pip noted of the origin (PEP 610), None for an unknown one."""
    about = json.loads(source or "{}")
    path = Path(url2pathname(urlsplit(about.get("url", "")).path))
    if not about.get("url", "").startswith("file:") or not path.exists():
        return IN_A_CLONE.format(extra)
    if path.is_dir():
        return f'pip install {"-e " if about.get("dir_info", {}).get("editable") else ""}"{path}[{extra}]"'
    return f'pip install "{NAME}[{extra}] @ {about["url"]}"'
