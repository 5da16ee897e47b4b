"""`python -m ravine` is `ravine`."""

from ravine.cli import main

main()
