"""One store of several: names kept apart, duplicates found, provenance of every part kept."""
