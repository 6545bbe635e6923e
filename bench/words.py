"""What the words of a command line mean: numbers, lists, durations, `KEY=VALUES` options."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from bench.errors import ConfigError


def parse_set(options: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """Read `KEY=V1,V2` options.

    Raises:
        ConfigError: an option without `=`, a key or a value, or a key given twice.
    """
    result: dict[str, tuple[Any, ...]] = {}
    for key, text in _keyed(options, "--set", "NAME.PARAM=VALUE").items():
        parts = split_outside_brackets(text)
        if not all(part.strip() for part in parts):
            raise ConfigError(f"--set {key}: a value is missing in `{text}`")
        result[key] = tuple(parse_value(part) for part in parts)
    return result


def parse_space(options: Iterable[str]) -> dict[str, str]:
    """Read `KEY=RANGE` options.

    Raises:
        ConfigError: an option without `=`, a key or a range, or a key given twice.
    """
    # A condition, which comes last, has an `=` of its own.
    parts = [re.split(r"(?=\s+if\s)", option, maxsplit=1) for option in options]
    found = _keyed((part[0] for part in parts), "--space", "NAME.PARAM=LOW..HIGH")
    for key, text in found.items():
        if not text.strip():
            raise ConfigError(f"--space {key}: it has no range")
    return {key: "".join([found[key], *rest]) for key, (_, *rest) in zip(found, parts, strict=True)}


def _keyed(options: Iterable[str], flag: str, form: str) -> dict[str, str]:
    result: dict[str, str] = {}
    for option in options:
        # Names may hold `=`; the last dot before a later `=` separates name and param.
        # A protocol field may be spelt as its flag is, with a dash.
        pattern = r"(protocol\.[A-Za-z][\w-]*|.+\.[A-Za-z_]\w*)=(.*)$"
        match = re.match(pattern, option, re.DOTALL)
        if match is None:
            raise ConfigError(f"{flag} takes {form}, not `{option}`")
        key, text = match.groups()
        if key in result:
            raise ConfigError(f"{flag} names `{key}` twice; give its values in one, with commas")
        result[key] = text
    return result


def parse_value(text: str) -> Any:
    """Return the number, boolean, null, list or text that a command-line word means."""
    text = text.strip()
    lowered = text.lower()
    if lowered in ("true", "false", "none", "null"):
        return {"true": True, "false": False}.get(lowered)
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return float(text)  # also `.5` and `1.`, which JSON does not know
    except ValueError:
        return text


def parse_duration(text: str) -> float:
    """Return seconds from `90`, `90s`, `30m` or `2h`.

    Raises:
        ValueError: it is none of these.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if match is None:
        raise ValueError(f"`{text}` is no duration; write 90, 90s, 30m or 2h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def split_outside_brackets(text: str) -> list[str]:
    """Return the parts of a text between commas, but those inside brackets or a JSON text.

    A JSON text begins with `"`, where a part begins or inside brackets, and ends with the next one
    that has no backslash; where none ends it, the `"` is one of the part's own.
    """
    parts = [""]
    depth = 0
    place = 0
    while place < len(text):
        character = text[place]
        begins = character == '"' and (depth > 0 or not parts[-1].strip())
        quoted = _JSON_TEXT.match(text, place) if begins else None
        if quoted is not None:
            parts[-1] += quoted[0]
            place = quoted.end()
            continue
        depth += (character == "[") - (character == "]")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
        place += 1
    return parts


_JSON_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
