"""Settings from a TOML file into a typed structure; whatever does not fit is one sentence that names file and key."""

import difflib
import re
import tomllib
from pathlib import Path
from typing import TypeVar

import msgspec

S = TypeVar("S", bound=msgspec.Struct)

_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<key>.*?)`(?: - at `\$\.?(?P<where>.*?)`)?$", re.DOTALL)
_AT = re.compile(r" - at `\$\.?(?P<where>.*?)`$")


class SettingsError(ValueError):
    """A settings file that cannot be used; the text says what is wrong, where, and what to do."""


def load(path: Path, kind: type[S]) -> S:
    """Read ``path`` into ``kind``.

    Raises:
        SettingsError: the file is missing, unreadable, no TOML, or has an unknown key or a value that does not fit.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: there is no such file; write one, or name another with --config") from None
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is no UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: is no valid TOML: {error}") from None
    except (RecursionError, ValueError):
        raise SettingsError(f"{path}: is nested too deeply, or holds a number that is too long") from None
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: {_explain(str(error), kind)}") from None


def _explain(message: str, kind: type[msgspec.Struct]) -> str:
    unknown = _UNKNOWN_FIELD.match(message)
    if unknown is None:
        at = _AT.search(message)
        return f"{at['where']}: {message[: at.start()]}" if at and at["where"] else message
    where = unknown["where"] or ""
    table = f"in [{where}]" if where else "at the top level"
    known = _fields_at(kind, where)
    nearest = difflib.get_close_matches(unknown["key"], known, n=1, cutoff=0)
    hint = f"the nearest valid key is {nearest[0]!r}" if nearest else "no key is valid there"
    return f"unknown key {unknown['key']!r} {table}; {hint}"


def _fields_at(kind: type[msgspec.Struct], where: str) -> list[str]:
    """Return the keys that are valid in the table ``where`` (dotted), following nested structures."""
    info: msgspec.inspect.Type = msgspec.inspect.type_info(kind)
    for name in filter(None, re.split(r"\.|\[\.\.\.\]|\[\d+\]", where)):
        for candidate in _structs(info):
            found = next((field.type for field in candidate.fields if field.encode_name == name), None)
            if found is not None:
                info = found
                break
    return [field.encode_name for candidate in _structs(info) for field in candidate.fields]


def _structs(info: msgspec.inspect.Type) -> list[msgspec.inspect.StructType]:
    if isinstance(info, msgspec.inspect.StructType):
        return [info]
    if isinstance(info, msgspec.inspect.UnionType):
        return [found for member in info.types for found in _structs(member)]
    if isinstance(info, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
        return _structs(info.item_type)
    if isinstance(info, msgspec.inspect.DictType):
        return _structs(info.value_type)
    return []
