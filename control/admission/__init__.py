"""Whether there is room for one more call, told before it costs the others their sound."""
