"""Build a profile from Python, as a web application would, and say what was found.

usage: python examples/library.py enroll.toml [DIRECTORY]
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import mdmprofile
from mdmprofile.output import make_directory, write_one


def main(config_file: Path, directory: Path | None) -> int:
    """Build, print the findings and the latest safe date, and keep the profiles where a directory is given."""
    try:
        result = mdmprofile.build(mdmprofile.load_config(config_file), now=datetime.now(UTC))
    except mdmprofile.MdmprofileError as error:
        print(f"cannot build: {error}", file=sys.stderr)
        return 3
    for finding in result.findings:
        print(f"{finding.severity}: {finding.message} ({finding.rule})")
    if result.plan.latest_safe_date is not None:
        print(f"replace the profile by {result.plan.latest_safe_date:%Y-%m-%d}")
    for artifact in result.artifacts:
        print(f"{artifact.name}: {len(artifact.data)} bytes, {'signed' if artifact.signed else 'not signed'}")
        if directory is not None:
            make_directory(directory)
            write_one(directory / artifact.name, artifact.data, private=artifact.secret)
    return 0 if result.artifacts else 2


if __name__ == "__main__":
    if len(sys.argv) not in {2, 3}:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else None))  # noqa: PLR2004 - argv
