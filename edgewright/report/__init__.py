"""The page that a run ends with, and the picture grids that go with it.

Decides how results are shown, never what they are: everything comes in as `ReportData`.
"""
