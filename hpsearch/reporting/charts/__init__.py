"""Charts of a report as Vega-Lite specifications, and as PNG and SVG.

The page draws the same specifications that the files for papers are made from.
"""
