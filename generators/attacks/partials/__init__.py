"""Things that cover a part of a live face."""
