"""Changes of the picture itself."""
