"""Who finds the face in a photograph: the package's own network, or a detector that the user brings."""
