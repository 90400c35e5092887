"""Cryptographic Message Syntax (RFC 5652): signing a profile, and telling who signed one."""
