"""The outcomes of the gallery's scenarios, computed once in a process: some take seconds."""

import functools

from ravine.simulate import gallery

of_file = functools.cache(gallery.outcome_of)


def by_default(name):
    """The outcome of a scenario with nothing set."""
    return of_file(next(e.file for e in gallery.EXHIBITS if e.scenario == name and not e.settings))
