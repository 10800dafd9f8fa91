"""The version, which the package, its build and the keys of what was measured share."""

__version__ = "0.2.0"
