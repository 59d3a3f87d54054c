"""Conformance of the SDKs: the same cases for all of them, against a real gateway. `python -m tests.conformance --help`."""
