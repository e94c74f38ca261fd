"""The command line: the outermost layer, the only one that knows flows, tasks and a terminal.

>>> from edgewright.cli import main
"""

from edgewright.cli.frame import main as main
