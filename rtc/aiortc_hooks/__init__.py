"""Everything that reaches into aiortc and aioice, and nothing else."""
