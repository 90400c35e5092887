"""The few questions that are asked of a URL."""

from __future__ import annotations

from urllib.parse import urlsplit


def has_scheme(url: object, *schemes: str) -> bool:
    """Whether ``url`` is text that begins with one of ``schemes`` in lower case and names a host."""
    if not isinstance(url, str):
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return any(url.startswith(f"{scheme}://") for scheme in schemes) and bool(parts.hostname)
