"""The equations, one file a family. A rule imports only `ravine.rule` and `ravine.math`."""
