"""Where a message could carry sound: by its type, and by its values."""

import re
import types
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import inspect

LONGEST_NUMBERS: Final = 8
"""So many numbers in a row are no sound yet."""
LONGEST_WORD: Final = 60
"""A text of so many letters without a space is no sound yet."""
_SOUNDLIKE: Final = re.compile(r"audio|sound|sample|pcm|wav|voice", re.IGNORECASE)
_BYTES: Final = (inspect.BytesType, inspect.ByteArrayType, inspect.MemoryViewType)
_ANYTHING: Final = (inspect.AnyType, inspect.RawType, inspect.ExtType)
_NUMBERS: Final = (inspect.IntType, inspect.FloatType)


def message_types(module: types.ModuleType) -> list[type[msgspec.Struct]]:
    """The structs that a module defines."""
    found = [each for each in vars(module).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    return [each for each in found if each.__module__ == module.__name__]


def carriers_in_type(kind: inspect.Type, path: str) -> Iterator[str]:
    """Where a type has bytes, lists of numbers, anything at all, or a text that is named like sound."""
    if isinstance(kind, _BYTES):
        yield f"{path}: bytes"
    elif isinstance(kind, _ANYTHING):
        yield f"{path}: anything"
    elif isinstance(kind, inspect.CollectionType) and isinstance(kind.item_type, _NUMBERS):
        yield f"{path}[]: numbers"
    for name, part in _parts(kind):
        if _SOUNDLIKE.search(name) and any(isinstance(each, inspect.StrType) for each in _either(part)):
            yield f"{path}{name}: a text that may be sound"
        yield from carriers_in_type(part, path + name)


def carriers_in_value(value: object) -> Iterator[object]:
    """Many numbers in a row, and long texts without a space, in what was decoded from JSON."""
    if isinstance(value, str):
        yield from (word for word in value.split() if len(word) > LONGEST_WORD)
    elif isinstance(value, dict):
        for each in value.values():
            yield from carriers_in_value(each)
    elif isinstance(value, list):
        if sum(isinstance(each, int | float) for each in value) > LONGEST_NUMBERS:
            yield value
        for each in value:
            yield from carriers_in_value(each)


def _parts(kind: inspect.Type) -> list[tuple[str, inspect.Type]]:
    """The types that a type is made of, and how each is reached."""
    if isinstance(kind, inspect.StructType):
        return [(f".{field.name}", field.type) for field in kind.fields]
    if isinstance(kind, inspect.DictType):
        return [("{}", kind.value_type)]
    if isinstance(kind, inspect.CollectionType):
        return [("[]", kind.item_type)]
    if isinstance(kind, inspect.TupleType):
        return [(f"[{number}]", each) for number, each in enumerate(kind.item_types)]
    return [("", each) for each in _either(kind) if each is not kind]


def _either(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    return kind.types if isinstance(kind, inspect.UnionType) else (kind,)
