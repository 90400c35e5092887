"""The JSON report."""

from __future__ import annotations

import json

from mdmprofile.reports.model import View, as_dict


def render(view: View) -> str:
    """The view as JSON text, two spaces a level, one object; ASCII, so that no name in it can steer a terminal."""
    return json.dumps(as_dict(view), indent=2)
