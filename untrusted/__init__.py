"""Untrusted input: parsing, validation, and containment of failures."""
