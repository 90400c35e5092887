"""The JSON report."""

from __future__ import annotations

import json

from mdmprofile.reports.model import View, as_dict


def render(view: View) -> str:
    """The view as JSON text, two spaces a level, one object."""
    return json.dumps(as_dict(view), indent=2, ensure_ascii=False)
