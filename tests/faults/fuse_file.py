"""One file whose bytes come from this process: the kernel's FUSE protocol, for a single regular file and nothing else.

The file is mounted over an empty one; needs root. The kernel is told to keep none of it in its page cache, so that each
write and each flush of whoever uses the file arrives here, in order, before it counts as done there.
"""

import contextlib
import ctypes
import errno
import os
import stat
import struct
import threading
from enum import IntEnum
from pathlib import Path
from typing import Protocol

_MAX_WRITE = 128 * 1024
_BUFFER_BYTES = _MAX_WRITE + 4096

_IN_HEADER = struct.Struct("<IIQQIIIHH")
_OUT_HEADER = struct.Struct("<IiQ")
_INIT_IN = struct.Struct("<IIII")
_INIT_OUT = struct.Struct("<IIIIHHIIHHI28x")
_ATTRIBUTES = struct.Struct("<QII QQQQQQ IIIIIIIIII")
_OPEN_OUT = struct.Struct("<QIi")
_SPAN_IN = struct.Struct("<QQIIQII")
_WRITE_OUT = struct.Struct("<II")
_STATFS_OUT = struct.Struct("<QQQQQIII28x")

_FLAG_BIG_WRITES = 1 << 5
_DIRECT_IO = 1
_MAJOR, _MINOR = 7, 28

_libc = ctypes.CDLL(None, use_errno=True)


class _Call(IntEnum):
    """What the kernel asks, as far as it does of such a file."""

    FORGET = 2
    GETATTR = 3
    SETATTR = 4
    OPEN = 14
    READ = 15
    WRITE = 16
    STATFS = 17
    RELEASE = 18
    FSYNC = 20
    FLUSH = 25
    INIT = 26
    ACCESS = 34
    DESTROY = 38
    BATCH_FORGET = 42


class Bytes(Protocol):
    """What stands behind the file."""

    @property
    def size(self) -> int:
        """In bytes; never changes."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return what was written last."""
        ...

    def write(self, offset: int, data: bytes) -> None:
        """Take bytes; they need not be safe yet."""
        ...

    def flush(self) -> None:
        """Make everything safe that was written before."""
        ...


class FuseFile:
    """A file at ``path`` from its making until `close`.

    Raises:
        OSError: it cannot be mounted: not root, or no FUSE in this kernel or container.
    """

    def __init__(self, path: Path, content: Bytes) -> None:
        self.path = path
        self._content = content
        path.touch()
        self._device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        try:
            options = f"fd={self._device},rootmode={stat.S_IFREG | 0o600:o},user_id=0,group_id=0"
            _mount("voiseback-disk", path, "fuse", options)
        except OSError:
            os.close(self._device)
            raise
        self._thread = threading.Thread(target=self._serve, name="fuse file", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take it away; nobody may use it any more.

        Raises:
            OSError: somebody does.
        """
        _checked(_libc.umount2(os.fsencode(self.path), 0), self.path)
        self._thread.join()
        os.close(self._device)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._device, _BUFFER_BYTES)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                return  # ENODEV: it is not mounted any more
            _, opcode, unique, *_ = _IN_HEADER.unpack_from(request)
            if opcode in (_Call.FORGET, _Call.BATCH_FORGET):
                continue
            try:
                number, body = 0, self._answer(opcode, memoryview(request)[_IN_HEADER.size :])
            except OSError as error:
                number, body = error.errno or errno.EIO, b""
            # At the end nobody waits for the answer to the last request.
            with contextlib.suppress(OSError):
                os.write(self._device, _OUT_HEADER.pack(_OUT_HEADER.size + len(body), -number, unique) + body)

    def _answer(self, opcode: int, body: memoryview) -> bytes:
        match opcode:
            case _Call.INIT:
                _, _, readahead, _ = _INIT_IN.unpack_from(body)
                return _INIT_OUT.pack(_MAJOR, _MINOR, readahead, _FLAG_BIG_WRITES, 12, 9, _MAX_WRITE, 1, 0, 0, 0)
            case _Call.GETATTR | _Call.SETATTR:
                return self._attributes()
            case _Call.OPEN:
                return _OPEN_OUT.pack(1, _DIRECT_IO, 0)
            case _Call.READ:
                _, offset, size, *_ = _SPAN_IN.unpack_from(body)
                return self._content.read(offset, size)
            case _Call.WRITE:
                _, offset, size, *_ = _SPAN_IN.unpack_from(body)
                self._content.write(offset, bytes(body[_SPAN_IN.size : _SPAN_IN.size + size]))
                return _WRITE_OUT.pack(size, 0)
            case _Call.FSYNC:
                self._content.flush()
                return b""
            case _Call.STATFS:
                return _STATFS_OUT.pack(0, 0, 0, 0, 0, 4096, 255, 0)
            case _Call.RELEASE | _Call.FLUSH | _Call.ACCESS | _Call.DESTROY:
                return b""
            case _:
                raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    def _attributes(self) -> bytes:
        size = self._content.size
        mode = stat.S_IFREG | 0o600
        return _ATTRIBUTES.pack(3600, 0, 0, 1, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def _mount(source: str, target: Path, kind: str, options: str) -> None:
    arguments = [os.fsencode(source), os.fsencode(target), kind.encode()]
    _checked(_libc.mount(*arguments, ctypes.c_ulong(0), options.encode()), target)


def _checked(status: int, path: Path) -> None:
    if status != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
