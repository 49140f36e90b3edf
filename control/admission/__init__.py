"""Admission of new agents: starts are refused before live calls lose quality."""
