"""What a run may be told: a section a stage (a file a room), presets, the YAML a person writes.

>>> resolve("demo").quantize.iou_threshold
0.5
"""

from edgewright.recipe.presets import MAX_RECIPE_BYTES as MAX_RECIPE_BYTES
from edgewright.recipe.presets import PRESET_NAMES as PRESET_NAMES
from edgewright.recipe.presets import PRESETS as PRESETS
from edgewright.recipe.presets import SIMULATED as SIMULATED
from edgewright.recipe.presets import resolve as resolve
from edgewright.recipe.presets import source_for as source_for
from edgewright.recipe.presets import to_yaml as to_yaml
from edgewright.recipe.presets import validate as validate
from edgewright.recipe.recipe import Recipe as Recipe
