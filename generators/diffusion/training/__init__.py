"""Training of the parts of a diffusion model on any source of faces."""
