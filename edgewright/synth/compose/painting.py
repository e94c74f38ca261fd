"""A trained scene network at work: a layout in, a picture of that size out. Imports torch and numpy alone.

Decides how a size that is no multiple of the network's stride is painted: a little larger, and cut.

    picture = Painter(network, class_ids=(0, 1), scene_px=192).paint(planes, rng)      # (H, W, 3) uint8
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgewright.synth.networks.flow_matching import integrate
from edgewright.synth.networks.nets import to_pixels
from edgewright.synth.networks.scene_nets import SceneGenerator
from edgewright.synth.networks.unet import FlowNet
from edgewright.synth.objects.samplers import draw_normal


@dataclass(frozen=True)
class Painter:
    """A scene network, opened; a GAN has no use for `solver` and `steps`.

    Attributes:
        class_ids: of the dataset; plane i of a layout is that of `class_ids[i]`, the last plane is that of the edges.
        scene_px: longer side of the pictures that it learned from, which is the size it knows objects at.
    """

    network: SceneGenerator | FlowNet
    class_ids: tuple[int, ...]
    scene_px: int
    solver: str = "heun"
    steps: int = 4

    def paint(self, planes: npt.NDArray[np.float32], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
        """(K, H, W) float32 of 0 and 1 => (H, W, 3) uint8."""
        height, width = planes.shape[1:]
        device = next(self.network.parameters()).device
        layout = padded(torch.from_numpy(planes)[None].to(device), self.network.shape.stride_px)
        with torch.inference_mode():
            pixels = to_pixels(self._pictures(layout, rng))[0, :height, :width].cpu().numpy()
        return cast(npt.NDArray[np.uint8], np.ascontiguousarray(pixels))

    def _pictures(self, layout: Tensor, rng: np.random.Generator) -> Tensor:
        network = self.network
        if isinstance(network, SceneGenerator):
            made: Tensor = network(draw_normal(network.latent_shape(layout), rng, layout.device), layout)
            return made
        shape = (len(layout), network.shape.image_channels, *layout.shape[2:])
        noise = draw_normal(shape, rng, layout.device)
        return integrate(lambda x, t: network(x, t, layout), noise, steps=self.steps, solver=self.solver)


def scene_painter(
    network: nn.Module, class_ids: tuple[int, ...], *, scene_px: int, solver: str = "heun", steps: int = 4
) -> Painter:
    """The painter of a network that was learned at the scene level."""
    return Painter(cast(SceneGenerator | FlowNet, network), class_ids, scene_px, solver, steps)


def padded(layout: Tensor, multiple: int) -> Tensor:
    """(N, K, H, W) with its right and lower edge repeated up to the next multiple."""
    height, width = layout.shape[2:]
    return F.pad(layout, (0, -width % multiple, 0, -height % multiple), mode="replicate")
