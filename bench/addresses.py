"""URLs of databases and servers, and the passwords in them that no message may show."""

from __future__ import annotations

import re
from urllib.parse import unquote

# A password that is not escaped may hold anything, `@` and `/` too: it ends before the last `@`.
_SECRET = re.compile(r"(://[^:/@\s]*:)(.+)(?=@)")
_SECRET_OPTION = re.compile(r"([?&][^=&\s]*(?:pass|pwd|secret|token)[^=&\s]*=)([^&\s]+)", re.I)


def masked(url: str) -> str:
    """Return a URL, or a text with one, without its password, for printing."""
    return _SECRET_OPTION.sub(r"\1***", _SECRET.sub(r"\1***", url))


def secrets(url: str) -> list[str]:
    """Return the passwords in a URL, as they stand there and as they are sent, longest first."""
    found = [match[2] for form in (_SECRET, _SECRET_OPTION) for match in form.finditer(url)]
    return sorted({*found, *(unquote(each) for each in found)}, key=len, reverse=True)
