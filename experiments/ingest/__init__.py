"""From a real data set to our store: read, cropped, checked, with a data card and a list of faults."""
