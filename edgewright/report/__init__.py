"""The page that a run ends with, the experiment's, and the picture grids that go with them.

Decides how results are shown, never what they are: everything comes in as plain data. A new page is a template that
extends `shell.html`, and a function that calls `render_page`; a new kind of chart is a function of `charts.py`.
"""
