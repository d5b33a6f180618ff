"""What README.md claims: its example prints what it says."""
import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_example_prints_what_it_says(capsys):
    example = re.search(r"```python\n(import tinytorch\n.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    exec(compile(example, str(README), "exec"), {})
    expected = re.findall(r"# prints (.*)", example)
    assert len(expected) == 3
    assert capsys.readouterr().out.split("\n")[:-1] == expected
