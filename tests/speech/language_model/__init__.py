"""Tests of the language model's client."""
