"""Checks of a data set before anything is trained on it: leaks, wrong labels, and shortcuts that tell the class."""
