"""Template of the set-up stack: what a team needs once in an account."""
