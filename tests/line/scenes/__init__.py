"""One scene per line: the line itself, and people at its other end. `SCENES` lists them all."""
