"""A diverse subset of a data set: chosen by what its pictures look like and by the physics that made them."""
