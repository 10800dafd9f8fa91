"""HDF5 files without the HDF5 library; names handed on, nothing defined.

The library is made for files that one trusts: a single flipped byte can make it run for ever, and nothing in the same
process can stop it. What Keras writes is a small and old part of the format, whatever the version of Keras or h5py, so
that part is read here, each byte of a file's structure once, and everything else in it is refused by name.
The names are those of the HDF5 File Format Specification, version 3.
"""

from .arrays import Hdf5Arrays, opened
from .objects import extent

__all__ = ["Hdf5Arrays", "extent", "opened"]
