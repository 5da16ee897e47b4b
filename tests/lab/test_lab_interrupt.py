"""What a comparison does to the process that it runs in: Ctrl-C where Python can only print it, and garbage."""

import contextlib
import gc
import weakref
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="the lab needs torch")
pytest.importorskip("sklearn", reason="the lab needs scikit-learn")

from ravine.cli import group
from ravine.lab import interrupt
from ravine.lab.pool import Pool


class Anything:
    pass


def lose(error: BaseException) -> None:
    def callback(_):
        raise error

    it = Anything()
    watched = weakref.ref(it, callback)
    del it
    assert watched() is None


def test_an_interrupt_that_is_lost_ends_the_next_wait(capfd: pytest.CaptureFixture[str]):
    with interrupt.kept(), contextlib.closing(Pool(workers=1)) as pool:
        lose(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            pool.wait(0.0)
        assert pool.wait(0.0) == []
    assert capfd.readouterr().err == ""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_other_errors_that_are_lost_are_told_as_always(monkeypatch: pytest.MonkeyPatch):
    told = []
    monkeypatch.setattr("sys.unraisablehook", lambda error: told.append(error.exc_value))
    with interrupt.kept():
        lose(ValueError("lost"))
        interrupt.raise_lost()
    assert [str(e) for e in told] == ["lost"]


def test_a_comparison_leaves_no_garbage_unseen_behind(tmp_path: Path):
    args = ["compare", "breast-cancer", "--optimizers", "gd", "--steps", "5", "--trials", "1", "--seeds", "2"]
    assert gc.get_freeze_count() == 0
    invoked = CliRunner().invoke(group, [*args, "--workers", "1", "--out", str(tmp_path)])
    assert invoked.exit_code == 0, invoked.output
    assert gc.get_freeze_count() == 0
