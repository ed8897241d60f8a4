"""Secrets of the configuration, which says where they are read: env:NAME or file:PATH. Never what they are."""

import os
from pathlib import Path

from dicom_node.errors import ConfigurationError


def read_secret(where: str, *, key: str) -> str:
    """What `where` (env:NAME or file:PATH) holds now, so that a new one needs no restart.

    Raises ConfigurationError naming the setting `key` and what is missing, never what is in it.
    """
    kind, _, place = where.partition(":")
    if kind == "env":
        secret = os.environ.get(place, "")
        if not secret:
            raise ConfigurationError(f"{key}: the environment of this process has no {place}")
    else:
        try:
            secret = Path(place).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{key}: {place} cannot be read ({type(error).__name__})") from error
    if not secret or not secret.isprintable():
        raise ConfigurationError(f"{key}: what {place} holds is no password and no token: empty, or several lines")
    return secret
