"""``python -m mdmprofile`` is the ``mdmprofile`` command."""

from mdmprofile.cli import main

main()
