"""Findings, plans and builds become text: a file a format, and nothing here writes or prints."""
