"""A small network that reads a face in a photograph: landmarks, classes, relief and whether there is a face at all."""
