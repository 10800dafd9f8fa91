"""Reads untrusted files: archives, HDF5, npz and JSON, within limits."""
