"""How much anybody may ask of the server, and whose pages may ask at all."""
