"""Wire formats: how a message's fields become bytes of fixed width, little-endian, and come back."""

import dataclasses
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, get_type_hints


class MessageError(ValueError):
    """A payload, or a value for one, is not what its message allows; the text says which and why."""


@dataclass(frozen=True, slots=True)
class Wire:
    """One kind of field: its width in bytes and its way to bytes and back."""

    size: int
    pack: Callable[[Any], bytes]
    unpack: Callable[[bytes], Any]


def _unsigned(size: int) -> Wire:
    return Wire(
        size,
        lambda value: int(value).to_bytes(size, "little"),
        lambda raw: int.from_bytes(raw, "little"),
    )


U8 = _unsigned(1)
U16 = _unsigned(2)
U32 = _unsigned(4)
TRIPLE = Wire(3, bytes, tuple)
"""Three bytes: a version as (major, minor, patch)."""
FLAG = Wire(1, lambda value: bytes((bool(value),)), lambda raw: raw != b"\x00")


def choice(kind: type[enum.IntEnum], other: enum.IntEnum | None = None) -> Wire:
    """One byte that is a member of `kind`; an unknown value is an error, or `other` where that is given."""

    def unpack(raw: bytes) -> enum.IntEnum:
        try:
            return kind(raw[0])
        except ValueError:
            if other is not None:
                return other
            raise

    return Wire(1, U8.pack, unpack)


def flags(kind: type[enum.IntEnum]) -> Wire:
    """Two bytes in which bit n stands for the member n of `kind`: a frozenset; unknown bits are passed over."""

    def pack(members: frozenset[enum.IntEnum]) -> bytes:
        return U16.pack(sum(1 << member for member in members))

    def unpack(raw: bytes) -> frozenset[enum.IntEnum]:
        bits = int.from_bytes(raw, "little")
        return frozenset(member for member in kind if bits >> member & 1)

    return Wire(2, pack, unpack)


def text(size: int) -> Wire:
    """Printable ASCII of at most `size` characters, filled up with zeros.

    What arrives is untrusted and goes into logs: any other character comes back as a question mark.
    """

    def pack(value: str) -> bytes:
        if len(value) > size or not (value.isascii() and value.isprintable()):
            raise ValueError(f"expected at most {size} printable ASCII characters, not {value!r}")
        return value.encode("ascii").ljust(size, b"\x00")

    def unpack(raw: bytes) -> str:
        used = raw.split(b"\x00", 1)[0]
        return "".join(chr(byte) if 0x20 <= byte < 0x7F else "?" for byte in used)

    return Wire(size, pack, unpack)


def layout(kind: type[Any]) -> tuple[tuple[str, Wire], ...]:
    """Return the fields of a message's payload in order: each one's name and its width and meaning on the wire."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple((field.name, hints[field.name].__metadata__[0]) for field in dataclasses.fields(kind))


def _defaults(kind: type[Any]) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(kind) if field.default is not dataclasses.MISSING}


@dataclass(frozen=True, slots=True)
class Message:
    """Base of all messages: frozen dataclasses whose fields, each annotated with its `Wire`, are the payload.

    Fields that came later stand at the end and have a default: a payload may end before them, and does where nothing
    else is to be said, so that an older side gets what it knows.
    """

    TYPE: ClassVar[int]
    """The frame's type byte. Bit 7 is set in all that the panel sends, so a line that echoes cannot fool a side."""

    def to_payload(self) -> bytes:
        """Return the payload; raises MessageError for a value that its field cannot carry."""
        fields = list(layout(type(self)))
        defaults = _defaults(type(self))
        while fields and fields[-1][0] in defaults and getattr(self, fields[-1][0]) == defaults[fields[-1][0]]:
            fields.pop()
        parts = []
        for name, wire in fields:
            try:
                parts.append(wire.pack(getattr(self, name)))
            except (ValueError, OverflowError) as error:
                raise MessageError(f"{type(self).__name__}.{name}: {error}") from error
        return b"".join(parts)

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Read a payload; bytes after the last known field are passed over, for versions to come.

        Raises MessageError when the payload ends within a field, or before one that has no default, and when a field
        has no meaning.
        """
        values: list[Any] = []
        offset = 0
        defaults = _defaults(cls)
        for name, wire in layout(cls):
            if offset == len(payload) and name in defaults:
                values.append(defaults[name])
                continue
            raw = payload[offset : offset + wire.size]
            offset += wire.size
            if len(raw) < wire.size:
                raise MessageError(f"{cls.__name__}: the payload of {len(payload)} bytes ends before {name}")
            try:
                values.append(wire.unpack(raw))
            except ValueError as error:
                raise MessageError(f"{cls.__name__}.{name}: {error}") from error
        return cls(*values)
