"""Units of work on a Dask cluster that is there already."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mdmprofile.devices.processes import Waiting
from mdmprofile.devices.unit import Item, Outcome, work
from mdmprofile.errors import WorkerError
from mdmprofile.recipe import Recipe

if TYPE_CHECKING:
    from distributed import Client, Future
