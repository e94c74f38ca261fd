"""DINOv2 features (Oquab et al. 2023, arXiv 2304.07193) from a local file of weights. No download, no code from afar.

Decides the network from the file alone: width, depth, patch and registers are read off the tensors' shapes, heads are
64 wide as in every published size. Refuses a file that is not such a state dict, and the giant one, whose feed-forward
part is another. The feature is the class token after the last norm. Unlike the published code the position
embedding is resized by plain bicubic interpolation; FDs are comparable with each other, not to the last digit with
those of other tools.

    extractor = open_dinov2("dinov2_vits14_pretrain.pth")
    extractor(tiles).shape                                    # (N, 384)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgewright.errors import InputError
from edgewright.gates.measure.metrics import Features
from edgewright.gates.measure.tiles import Tiles
from edgewright.gates.spaces.features import require_tiles
from edgewright.gates.spaces.weights import read_weights

if TYPE_CHECKING:
    from torch import Tensor

SIDE_PX = 224
_HEAD = 64
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as the weights were trained
_BATCH = 16
_EPS = 1e-6


@dataclass(frozen=True)
class VisionTransformer:
    """The weights by their published names, and the SHA-256 of the file."""

    weights: Mapping[str, Tensor]
    digest: str

    @property
    def width(self) -> int:
        return int(self.weights["cls_token"].shape[-1])

    @property
    def patch_px(self) -> int:
        return int(self.weights["patch_embed.proj.weight"].shape[-1])

    @property
    def depth(self) -> int:
        return 1 + max(int(name.split(".")[1]) for name in self.weights if name.startswith("blocks."))

    def __call__(self, tiles: Tiles) -> Features:
        import torch

        require_tiles(tiles)
        with torch.inference_mode():
            batches = [self._features(tiles[start : start + _BATCH]) for start in range(0, len(tiles), _BATCH)]
        return np.concatenate(batches) if batches else np.empty((0, self.width))

    def _features(self, tiles: Tiles) -> Features:
        import torch
        from torch.nn.functional import conv2d, interpolate

        # NHWC uint8 [0, 255] => NCHW float32, ImageNet's mean and deviation taken out
        images = torch.from_numpy(np.ascontiguousarray(tiles.transpose(0, 3, 1, 2))).float() / 255
        images = (images - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_DEVIATION)[:, None, None]
        side = SIDE_PX // self.patch_px * self.patch_px
        images = interpolate(images, size=(side, side), mode="bicubic", antialias=True, align_corners=False)
        w = self.weights
        grid = conv2d(images, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=self.patch_px)
        tokens = grid.flatten(2).transpose(1, 2)
        tokens = torch.cat([w["cls_token"].expand(len(tokens), -1, -1), tokens], dim=1)
        tokens = tokens + self._positions(grid.shape[-1])
        if "register_tokens" in w:
            extra = w["register_tokens"].expand(len(tokens), -1, -1)
            tokens = torch.cat([tokens[:, :1], extra, tokens[:, 1:]], dim=1)
        for index in range(self.depth):
            tokens = self._block(tokens, f"blocks.{index}.")
        return np.asarray(self._norm(tokens, "norm.")[:, 0].numpy(), dtype=np.float64)

    def _positions(self, side: int) -> Tensor:
        """(1, 1 + side², width), from the grid that the weights were trained on."""
        import torch
        from torch.nn.functional import interpolate

        stored = self.weights["pos_embed"]
        old = round((stored.shape[1] - 1) ** 0.5)
        if old == side:
            return stored
        plane = stored[:, 1:].reshape(1, old, old, -1).permute(0, 3, 1, 2)
        plane = interpolate(plane, size=(side, side), mode="bicubic", align_corners=False)
        return torch.cat([stored[:, :1], plane.permute(0, 2, 3, 1).reshape(1, side * side, -1)], dim=1)

    def _block(self, tokens: Tensor, name: str) -> Tensor:
        from torch.nn.functional import gelu, linear, scaled_dot_product_attention

        w = self.weights
        batch, length, width = tokens.shape
        mixed = linear(self._norm(tokens, name + "norm1."), w[name + "attn.qkv.weight"], w[name + "attn.qkv.bias"])
        query, key, value = mixed.reshape(batch, length, 3, width // _HEAD, _HEAD).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, length, width)
        seen = linear(seen, w[name + "attn.proj.weight"], w[name + "attn.proj.bias"])
        tokens = tokens + seen * w[name + "ls1.gamma"]
        inner = linear(self._norm(tokens, name + "norm2."), w[name + "mlp.fc1.weight"], w[name + "mlp.fc1.bias"])
        outer = linear(gelu(inner), w[name + "mlp.fc2.weight"], w[name + "mlp.fc2.bias"])
        return tokens + outer * w[name + "ls2.gamma"]

    def _norm(self, tokens: Tensor, name: str) -> Tensor:
        from torch.nn.functional import layer_norm

        return layer_norm(tokens, (self.width,), self.weights[name + "weight"], self.weights[name + "bias"], _EPS)


def open_dinov2(path: str) -> VisionTransformer:
    """Raises InputError where the file is missing, unsafe, or holds another network."""
    found = read_weights(path, kind="dinov2", source="https://github.com/facebookresearch/dinov2 (ViT-S, B or L)")
    network = VisionTransformer(found.tensors, found.sha256)
    missing = sorted(set(_names(network)) - set(found.tensors)) if "cls_token" in found.tensors else ["cls_token"]
    if missing or network.width % _HEAD:
        raise InputError(
            "not the weights of a DINOv2 ViT-S, ViT-B or ViT-L",
            expected="cls_token, pos_embed, patch_embed.proj, blocks.N.…, norm; a width that 64 divides",
            got=f"without {', '.join(missing[:3])}" if missing else f"width {network.width}",
            where=path,
        )
    return network


def _names(network: VisionTransformer) -> list[str]:
    if "patch_embed.proj.weight" not in network.weights or not any(n.startswith("blocks.") for n in network.weights):
        return ["patch_embed.proj.weight", "blocks.0.norm1.weight"]
    parts = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
    blocks = [f"blocks.{i}." for i in range(network.depth)]
    per_block = [f"{block}{part}.{end}" for block in blocks for part in parts for end in ("weight", "bias")]
    scales = [f"{block}{scale}.gamma" for block in blocks for scale in ("ls1", "ls2")]
    ends = ["cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias"]
    return per_block + scales + ends
