"""Lines: what an agent talks through, and what every line is made of. Knows no transport."""
