"""Benchmarks: `python -m bench` prints every figure that the README quotes.

A part is a module here with `async def rows() -> list[str]` (see `figures.row`), listed in
`__main__.PARTS`.
"""
