"""What is printed for people: consoles of rich that take no text for markup."""

from __future__ import annotations

from typing import IO

from rich.console import Console

PIPED_WIDTH = 160


def terminal(file: IO[str]) -> Console:
    """Return a rich console for a stream, wide where it is piped into a file."""
    wide = None if file.isatty() else PIPED_WIDTH
    return Console(file=file, width=wide, highlight=False, markup=False, emoji=False)
