"""A data set as something that is handed on: counted, described, exported, merged."""
