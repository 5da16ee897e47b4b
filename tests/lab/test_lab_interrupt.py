"""Ctrl-C where Python can only print it."""

import contextlib
import weakref

import pytest

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
