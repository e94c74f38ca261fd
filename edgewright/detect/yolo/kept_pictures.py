"""Decoded pictures, kept while a detector trains: the same batches to the byte, without reading a file twice.

Decides how much memory that may take; what is beyond it is decoded anew each time.

    dataset = keep_decoded(dataset)
"""

from __future__ import annotations

from typing import Any

KEPT_BYTES = 1 << 30


def keep_decoded(dataset: Any, *, limit_bytes: int = KEPT_BYTES) -> Any:
    """The library's data set, which decodes each file once.

    Its own `cache: ram` would also draw a mosaic's partners from all pictures instead of the latest ones, and keep
    everything or nothing. By file and not by place: with `steps` an epoch shows a picture several times.
    """
    dataset.load_image = _Kept(dataset, limit_bytes).load_image
    return dataset


class _Kept:
    """Decoded pictures by file, up to a limit."""

    def __init__(self, dataset: Any, limit_bytes: int) -> None:
        self._dataset, self._room = dataset, limit_bytes
        self._decode = dataset.load_image
        self._pictures: dict[str, Any] = {}

    def load_image(self, index: int, *args: Any, **kwargs: Any) -> Any:
        """As the library's: (picture, (h, w) in the file, (h, w)); `args` say how to resize, the same in every call."""
        data, file = self._dataset, self._dataset.im_files[index]
        if data.ims[index] is not None or file not in self._pictures:
            return self._keep(file, self._decode(index, *args, **kwargs))
        known = self._pictures[file]
        data.ims[index], data.im_hw0[index], data.im_hw[index] = known
        self._note_latest(index)
        return known

    def _keep(self, file: str, decoded: Any) -> Any:
        if file not in self._pictures and decoded[0].nbytes <= self._room:
            self._room -= decoded[0].nbytes
            self._pictures[file] = decoded
        return decoded

    def _note_latest(self, index: int) -> None:
        """As the library does after decoding: mosaics take their partners from the latest pictures."""
        data = self._dataset
        data.buffer.append(index)
        if 1 < len(data.buffer) >= data.max_buffer_length:
            oldest = data.buffer.pop(0)
            data.ims[oldest] = data.im_hw0[oldest] = data.im_hw[oldest] = None
