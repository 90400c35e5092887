"""Many devices: the table they come from, what their files are called, and all of them in order on the disk."""
