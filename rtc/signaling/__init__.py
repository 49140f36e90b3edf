"""The room protocol: its frames, session descriptions and client."""
