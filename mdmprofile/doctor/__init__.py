"""A rehearsal of what a device does with a profile, against the live servers and with the profile's own trust."""
