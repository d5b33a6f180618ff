"""After a red suite: is a file of an earlier chapter the reason? With the reference's in its place, the checks pass."""

import time

from tito.course import Chapter, chapters
from tito.suite import Outcome, is_open, run_suite
from tito.workspace import Workspace

MOST_CHECKS = 12  # that are run again
SECONDS, LIMIT = 60, 10  # for all runs together, and for each check


def earlier_files(workspace: Workspace, chapter: Chapter) -> dict[str, Chapter]:
    """What the student exported of chapters before this one, by path in the package."""
    before = [made for made in chapters() if made.name < chapter.name]
    files = {path: made for made in before for path in made.files if path not in chapter.files}
    return {path: made for path, made in files.items()
            if workspace.exported(path).is_file() and not workspace.open(path)}  # fmt: skip


def earlier_culprits(workspace: Workspace, chapter: Chapter, outcome: Outcome) -> list[str]:
    """Return a sentence for each file of an earlier chapter with the reference's version of which failed checks pass.

    They run again, some of them: with the reference in the place of all earlier files first, and only if that turns
    one green with each file alone. Where it takes several files together, they are named together.
    """
    files, latest = earlier_files(workspace, chapter), time.monotonic() + SECONDS
    failed = [check["ends"] for check in outcome.having("failed") if not is_open(check) and "::" in check["ends"]]
    failed = failed[:MOST_CHECKS]

    def cured(replaced: list[str]) -> int:
        again = run_suite(workspace, chapter, LIMIT, checks=failed, replaced=replaced)
        return len({check["ends"] for check in again.having("passed")} & set(failed))

    if not files or not failed or not cured([*files]):
        return []
    found = {}
    for path in files:
        if len(files) > 1 and time.monotonic() > latest:
            break
        if count := cured([path]):
            found[path] = count
    if not found:
        numbers = ", ".join(dict.fromkeys(made.number for made in files.values()))
        return [f"your files of earlier chapters disagree with the reference: with its own, some of these checks pass;"
                f" see {numbers}"]  # fmt: skip
    return [f"your {path} disagrees with the reference: see {files[path].number}"
            f" (with the reference's, {count} of {len(failed)} failed checks pass)" for path, count in found.items()]
