"""Turn detection: who has the floor, and if what was said is over."""
