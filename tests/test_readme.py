"""What README.md claims: it begins with a link and two commands, and its example prints what it says."""
import re
import shlex
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def test_it_begins_with_the_link_and_two_commands():
    title, link, commands, *_ = README.read_text(encoding="utf-8").split("\n\n")
    assert title == "# tinytorch" and re.match(r"\*\*\[[^]]+\]\([^)]+\)", link)
    install, run = map(shlex.split, commands.strip("`").removeprefix("bash\n").splitlines())
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert install[:3] == ["pip", "install", "-e"] and install[3][2:-1] in extras
    assert run[0] == "python" and (ROOT / run[1]).is_file()


def test_the_example_prints_what_it_says(capsys):
    example = re.search(r"```python\n(import tinytorch\n.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    exec(compile(example, str(README), "exec"), {})
    expected = re.findall(r"# prints (.*)", example)
    assert len(expected) == 3
    assert capsys.readouterr().out.split("\n")[:-1] == expected
