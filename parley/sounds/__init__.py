"""Sounds of our own making, by `make.py`; free for any use."""
