"""Readers of real face-attack data sets, one file each: the official layout becomes a list of items, nothing more.

A reader looks at names, lists and annotation files, never at pixels. What does not fit the layout is a `Broken` with a
reason; nothing is relabelled to make it fit.
"""
