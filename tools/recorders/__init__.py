"""What each family of programs writes, for `tools/record_files.py`."""
