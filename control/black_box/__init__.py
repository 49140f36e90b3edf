"""Diagnostic record of each call, for explaining its end later: no words, no audio, no secrets."""
