"""A milestone on several processes: how it is started, and how often it goes on."""
import json
from pathlib import Path

import pytest

from tito.course import milestone
from tito.project import TitoError
from tito.ranks import MOST_RESTARTS, one_thread_each, run_until_it_ends, start_of


def test_only_what_trains_on_several_processes():
    with pytest.raises(TitoError, match="perceptron trains in one process; on several: .*shakespeare"):
        start_of(milestone("perceptron"), 2, "", Path(), {})


def test_without_mpi_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(TitoError, match="pip install mpi4py mpich"):
        start_of(milestone("shakespeare"), 2, "", Path(), {})


def test_one_thread_for_each():
    assert one_thread_each({"A": "x", "OMP_NUM_THREADS": "8"}) == {
        "A": "x", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Run:
    "A run in `folder` that ends with each of `ends`, (status, steps made)."
    def __init__(self, folder, *ends):
        self.folder, self.ends, self.options = folder, list(ends), []

    def __call__(self, options):
        self.options.append(options)
        status, step = self.ends.pop(0)
        (self.folder / "status.json").write_text(json.dumps({"step": step}))
        if status in (0, 1):
            (self.folder / "results.json").write_text("{}")
        return status


@pytest.mark.parametrize("ends, status", [
    ([(0, 9)], 0), ([(9, 5), (0, 9)], 0), ([(9, 5), (137, 7), (1, 9)], 1),  # learned; killed; not learned
    ([(2, 0)], 2), ([(9, 5), (130, 7)], 130)])  # wrong input; Ctrl-C
def test_it_goes_on_until_it_ends(ends, status, tmp_path):
    run = Run(tmp_path, *ends)
    assert run_until_it_ends(run, ["--quick"], lambda: [tmp_path]) == status
    assert not run.ends and run.options == [["--quick"]] + [["--resume", str(tmp_path)]] * (len(ends) - 1)


def test_unless_it_is_elastic_it_ends_with_the_first(tmp_path):
    run = Run(tmp_path, (9, 5))
    assert run_until_it_ends(run, [], lambda: [tmp_path], elastic=False) == 9 and len(run.options) == 1


def test_it_gives_up_where_it_comes_no_further(tmp_path):
    run = Run(tmp_path, *[(9, 5)] * 20)
    assert run_until_it_ends(run, [], lambda: [tmp_path]) == 9
    assert len(run.options) == 2 + MOST_RESTARTS


def test_what_never_made_a_folder_is_not_started_again(tmp_path):
    assert run_until_it_ends(Run(tmp_path, (9, 0)), [], lambda: []) == 9
