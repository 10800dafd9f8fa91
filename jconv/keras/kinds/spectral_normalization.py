"""Keras's spectral normalization of another layer's kernel."""

from __future__ import annotations

from typing import Any

from ...layers import Embedding, Layer, SpectralNormalization
from ...layers.nesting import unwrap
from .config import Config, as_dict, integer
from .inside import folders_inside
from .kind import Kind, ReadLayer, WriteLayer


def _read(config: Config, read_layer: ReadLayer) -> Layer:
    layer = read_layer(config.get("layer", as_dict), f"{config.place}, layer")
    return SpectralNormalization(layer, config.get("power_iterations", integer, 1))


def _write(layer: SpectralNormalization, write_layer: WriteLayer) -> dict[str, Any]:
    return {"layer": write_layer(layer.layer, "layer"), "power_iterations": layer.power_iterations}


def _copies(layer: SpectralNormalization) -> dict[str, str]:
    # Keras's wrapper holds the kernel beside the layer that it wraps.
    return {"vars/0": "layer/embeddings" if isinstance(unwrap(layer.layer), Embedding) else "layer/kernel"}


def _mask(layer: SpectralNormalization) -> str:
    """Keras calls the layer inside as any other, so its output has the mask that it would have alone."""
    # This has the table of kinds, of which this is a part.
    from ..write.layer import BY_LAYER

    kind = BY_LAYER.get(type(unwrap(layer.layer)))
    return "on" if kind is not None and kind.mask == "on" else "stop"


KINDS = (
    Kind(
        "SpectralNormalization",
        SpectralNormalization,
        folders=lambda layer: folders_inside([(layer.layer, "layer", "layer")]),
        read=_read,
        write=_write,
        copies=_copies,
        mask=_mask,
    ),
)
