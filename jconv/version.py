"""The version, which the package, its build and the stored measurements share."""

__version__ = "0.2.0"
