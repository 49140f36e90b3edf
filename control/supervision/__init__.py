"""Agents kept alive over however many processes they take; the local model too."""
