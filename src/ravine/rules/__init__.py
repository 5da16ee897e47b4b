"""The equations, one file a family. A rule imports only `ravine.registry`, `ravine.math` and its ranges."""
