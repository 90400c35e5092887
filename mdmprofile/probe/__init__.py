"""Live servers, read within bounds: the only package that opens a connection, and it only ever reads."""
