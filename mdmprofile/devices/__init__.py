"""Devices by the thousand: their table, the names of their files, and the units of work that make their profiles."""
