"""Named API keys: what they may do, for which team, how much, and what was done with them."""
