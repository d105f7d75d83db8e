"""A file without a file system: memory that a process and its children share, and that outlives each of them."""

import contextlib
import errno
import fcntl
import mmap
import os
from collections.abc import Iterator
from typing import Final

ALIGN_BYTES: Final = 65536
"""What starts at a multiple of this starts at a page on every Linux (pages have 4, 16 or 64 KiB)."""

_MFD_NOEXEC_SEAL: Final = 0x0008  # Linux 6.3 and later; from memfd_create(2)
_SEALS: Final = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_ZEROS: Final = bytes(ALIGN_BYTES)


def create(name: str, size_bytes: int) -> int:
    """A descriptor of `size_bytes` of zeros, of which none takes memory before it is written. Raises `OSError`.

    Its length is sealed: whoever has the descriptor cannot cut the file under another one's feet.
    """
    sealable = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        descriptor = os.memfd_create(name, sealable | _MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        descriptor = os.memfd_create(name, sealable)
    try:
        os.ftruncate(descriptor, size_bytes)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def wipe(descriptor: int, start: int, end: int) -> None:
    """Overwrite what was written from `start` (a multiple of `ALIGN_BYTES`) to `end` with zeros, and give the memory
    back. Raises `OSError`.
    """
    for first, last in _written(descriptor, start, end):
        for at in range(first, last, len(_ZEROS)):
            os.pwrite(descriptor, _ZEROS[: last - at], at)
        # Zeros alone would do for secrecy; that some system cannot give them back is no reason to fail.
        with contextlib.suppress(OSError, ValueError), mmap.mmap(descriptor, last - first, offset=first) as view:
            view.madvise(mmap.MADV_REMOVE)


def used_bytes(descriptor: int) -> int:
    """How much memory the file takes. Raises `OSError`."""
    return os.fstat(descriptor).st_blocks * 512


def _written(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The stretches that take memory, which the kernel knows better than anyone who died while writing."""
    at = start
    while at < end:
        try:
            first = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing from here to the file's end
                return
            raise
        if first >= end:
            return
        at = min(end, os.lseek(descriptor, first, os.SEEK_HOLE))
        yield first, at
