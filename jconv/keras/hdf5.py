"""Arrays out of an HDF5 file, none of whose contents is trusted.

HDF5 can point outside itself: links to other files, arrays stored in other files, arrays put together from others.
None of that is followed; a group that is reached twice is refused, sizes are checked against what is stored before
anything is allocated, and only the filters that Keras uses are run. This is the only file that imports h5py.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import KerasFileError
from .limits import CONFIG_BYTES, MOST_AXES, MOST_PARTS, Budget, check_expansion

if TYPE_CHECKING:
    import h5py

Array = np.ndarray[Any, Any]

# Shuffle, gzip, fletcher32: parts of every HDF5 library. Others would be found by loading code by name.
FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}
DEPTH = 64


class Hdf5Arrays:
    """The arrays of an open file by their path, and the attributes of its groups; see `opened`."""

    def __init__(self, file: h5py.File, what: str, budget: Budget) -> None:
        self._file, self._what, self._budget = file, what, budget
        self._datasets: dict[str, Any] = {}
        self._groups: dict[str, Any] = {}
        self._walk()

    def paths(self) -> list[str]:
        """The paths of all arrays."""
        return list(self._datasets)

    def read(self, path: str) -> Array:
        """The array at a path. Raises `KerasFileError` for one that is missing or not what it declares."""
        where = f"array {path!r} of {self._what}"
        if path not in self._datasets:
            raise KerasFileError(f"{where} is missing")
        with _plain(where):
            return self._read(self._datasets[path], where)

    def folders(self) -> dict[str, str]:
        """The folder of each layer by its name, `outer/inner` in a model, where Keras wrote names beside the arrays."""
        names: dict[str, str] = {}
        found: dict[str, str] = {}
        for path in sorted(self._groups, key=lambda path: path.count("/")):
            if path.endswith("/vars") and self.has_attribute("name", path):
                folder = path.removesuffix("/vars")
                above = names.get(folder.rpartition("/layers/")[0], "")
                name = f"{above}{(self.text('name', path) or b'').decode('utf-8', 'replace')}"
                names[folder], found[name] = f"{name}/", folder
        return found

    def has_attribute(self, name: str, group: str = "") -> bool:
        """Whether a group has an attribute of this name, in one piece or in several."""
        with _plain(f"attribute {name!r} of {self._what}"):
            return name in self._groups[group].attrs or f"{name}0" in self._groups[group].attrs

    def text(self, name: str, group: str = "") -> bytes | None:
        """A string attribute, in chunks or whole, as bytes; None where there is none."""
        value = self._attribute(self._groups[group], name, f"attribute {name!r} of {self._what}")
        return None if value is None else b"".join(value)

    def texts(self, name: str, group: str = "") -> list[str]:
        """An attribute that is a list of strings, which Keras splits over `name0`, `name1`, ... when it is long."""
        what = f"attribute {name!r} of group {group!r} of {self._what}"
        if group not in self._groups:
            raise KerasFileError(f"group {group!r} of {self._what} is missing")
        found = self._attribute(self._groups[group], name, what)
        if found is None:
            found = []
            for number in range(MOST_PARTS):
                more = self._attribute(self._groups[group], f"{name}{number}", what)
                if more is None:
                    break
                found += more
        try:
            return [value.decode("utf-8") for value in found]
        except UnicodeDecodeError:
            raise KerasFileError(f"{what} is not text in UTF-8") from None

    def _walk(self) -> None:
        import h5py

        seen: set[Any] = set()
        waiting = [("", self._file["/"])]
        while waiting:
            path, group = waiting.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address in seen or path.count("/") > DEPTH or len(seen) + len(self._datasets) > MOST_PARTS:
                raise KerasFileError(
                    f"group {path!r} of {self._what} is reached twice, or too deep, or one of too many"
                )
            seen.add(address)
            self._groups[path] = group
            for name in group:
                below = f"{path}/{name}".lstrip("/")
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    kind = type(link).__name__
                    raise KerasFileError(f"{below!r} of {self._what} is a link ({kind}); links are not followed")
                item = group.get(name)
                if isinstance(item, h5py.Group):
                    waiting.append((below, item))
                elif isinstance(item, h5py.Dataset):
                    self._datasets[below] = item
                else:
                    raise KerasFileError(f"{below!r} of {self._what} is neither a group nor an array")

    def _read(self, dataset: Any, where: str) -> Array:
        if dataset.external or dataset.is_virtual:
            raise KerasFileError(f"{where} lies outside the file; what a file points to is not read")
        dtype = dataset.dtype
        if dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype.subdtype is not None:
            raise KerasFileError(f"{where} must hold numbers, got the type {dtype}")
        shape = dataset.shape
        if shape is None or len(shape) > MOST_AXES:
            raise KerasFileError(f"{where} must have a shape of at most {MOST_AXES} axes, got {shape}")
        declared, stored = math.prod(shape) * dtype.itemsize, dataset.id.get_storage_size()
        self._budget.spend(declared, where)
        self._check_storage(dataset, declared, stored, where)
        marked = "dtype" in dataset.attrs and self._attribute(dataset, "dtype", where) == [b"bfloat16"]
        array = np.asarray(dataset[()])
        if array.shape != shape:
            raise KerasFileError(f"{where} declares the shape {shape} and holds {array.shape}")
        if marked:
            import ml_dtypes

            # h5py has no bfloat16 of its own: Keras stores it as it comes and writes its name beside it.
            return array.view(ml_dtypes.bfloat16) if dtype.itemsize == 2 else array.astype(ml_dtypes.bfloat16)
        return array

    def _check_storage(self, dataset: Any, declared: int, stored: int, where: str) -> None:
        properties = dataset.id.get_create_plist()
        filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
        foreign = [number for number in filters if number not in FILTERS]
        if foreign:
            raise KerasFileError(
                f"{where} is stored by filter {foreign[0]}; only {', '.join(FILTERS.values())} are run"
            )
        if dataset.chunks is not None and dataset.size:
            # A chunk is unpacked whole, however little of it the shape uses.
            chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
            self._budget.spend(chunk, f"a chunk of {where}")
        if filters:
            check_expansion(declared, stored, where)
        elif declared > stored:
            raise KerasFileError(f"{where} declares {declared:,} bytes and stores {stored:,}")

    def _attribute(self, owner: Any, name: str, what: str) -> list[bytes] | None:
        """An attribute of strings as a list of bytes; a single string is a list of one."""
        import h5py

        with _plain(what):
            if name not in owner.attrs:
                return None
            attribute = owner.attrs.get_id(name)
            # An empty list of strings has no type of its own: NumPy makes numbers of it.
            if math.prod(attribute.shape) == 0:
                return []
            if math.prod(attribute.shape) > MOST_PARTS or attribute.get_storage_size() > CONFIG_BYTES:
                raise KerasFileError(f"{what} has {attribute.get_storage_size():,} bytes; that is no list of names")
            if h5py.check_string_dtype(attribute.dtype) is None:
                raise KerasFileError(f"{what} must be text, got the type {attribute.dtype}")
            values = np.asarray(owner.attrs[name]).ravel().tolist()
        encoded = [value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value for value in values]
        if not all(isinstance(value, bytes) for value in encoded):
            raise KerasFileError(f"{what} must be text")
        return encoded


@contextmanager
def opened(source: bytes | str, what: str, budget: Budget) -> Iterator[Hdf5Arrays]:
    """The arrays of an HDF5 file, given as its bytes or its path, while it is open.

    Raises `KerasFileError`, naming `what`, for a file that is none or points outside itself, and `ImportError` with
    what to install where h5py is missing.
    """
    try:
        import h5py
    except ImportError:
        raise ImportError("reading Keras files needs h5py: pip install 'jconv[keras]'") from None
    with _plain(what):
        file = h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r")
    with file:
        with _plain(what):
            arrays = Hdf5Arrays(file, what, budget)
        yield arrays


@contextmanager
def _plain(what: str) -> Iterator[None]:
    """h5py's many ways to say that a file is broken, as one."""
    try:
        yield
    except KerasFileError:
        raise
    except (
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        AttributeError,
        MemoryError,
    ) as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise KerasFileError(f"{what} cannot be read as HDF5: {reason}") from None
