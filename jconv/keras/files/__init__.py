"""Files of which nothing is trusted: archives, HDF5, npz and JSON, within limits."""
