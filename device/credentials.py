"""Where the kiosk's credentials are: with the service manager, where it was given them, else where the settings say."""

from collections.abc import Mapping
from pathlib import Path

from device.settings import KioskSettings

DIRECTORY_VARIABLE = "CREDENTIALS_DIRECTORY"
"""Set by systemd for a unit with ``LoadCredential=``; the files below it are readable by the unit's user alone."""
NAME = "credentials.toml"


def credentials_path(settings: KioskSettings, environment: Mapping[str, str]) -> Path:
    """Return the file to read.

    The service manager's comes before the default place, not before one that the settings name. A blank one says that
    the service manager has found none: the default place is then the one to tell about.
    """
    named = Path(settings.credentials)
    folder = environment.get(DIRECTORY_VARIABLE)
    if not folder or settings.credentials != KioskSettings().credentials:
        return named
    given = Path(folder) / NAME
    return given if _has_content(given) else named


def _has_content(path: Path) -> bool:
    try:
        return bool(path.read_bytes().strip())
    except OSError:
        return False
