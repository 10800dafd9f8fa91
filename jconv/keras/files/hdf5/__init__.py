"""HDF5 files, read without the HDF5 library.

The library is made for trusted files: a single flipped byte can put it into an endless loop. Whatever the version of
Keras and h5py, Keras writes a small, old part of the format. Only that part is read here, each byte of metadata at most
once; everything else is an error that names it. The terms are from the HDF5 File Format Specification, version 3.
"""

from .arrays import Hdf5Arrays, open_arrays
from .objects import file_size

__all__ = ["Hdf5Arrays", "file_size", "open_arrays"]
