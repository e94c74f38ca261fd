"""Which channels of a network can only go together: the graph as torch exports it => groups of parameter slices.

Decides what one channel is: everywhere that it is made, normalized, added to another or read. Removing a group leaves a
network that computes, and the same function where the group was all zeros (Fang et al. 2023, arXiv 2301.12900, call it
a dependency graph; here it is found by following every channel's index through the exported graph). What passes an
operation that is not known to keep channels apart is frozen: the network's own input and outputs, reshaped or mixed
channels. Refuses nothing.

>>> net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
>>> sorted(layer.size for layer in layers_of(net, torch.zeros(1, 3, 8, 8)))
[4]
"""

from __future__ import annotations

import copy
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.fx import Node

IntArray = npt.NDArray[np.int64]

_PASSING = frozenset(
    {
        *(f"aten.{name}.default" for name in ("relu", "relu6", "hardtanh", "silu", "hardswish", "leaky_relu")),
        *(f"aten.{name}_.default" for name in ("relu", "relu6", "hardtanh", "silu", "hardswish", "leaky_relu")),
        *(f"aten.{name}.default" for name in ("sigmoid", "dropout", "detach", "detach_", "clone", "contiguous")),
        *(f"aten.{name}.default" for name in ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d")),
        *("aten.upsample_nearest2d.vec", "aten.upsample_nearest2d.default"),
        *("aten.to.dtype", "aten.to.dtype_layout", "aten._assert_tensor_metadata.default"),
    }
)
"""Operations whose output has its input's channels, each by itself."""
_JOINING = frozenset({"aten.add.Tensor", "aten.add_.Tensor", "aten.mul.Tensor", "aten.sub.Tensor"})
_MIXING = frozenset({"aten.matmul.default", "aten.bmm.default", "aten.scaled_dot_product_attention.default"})
"""Attention: the module that has it reads its sizes from its input."""
_CHANNELS = 1
_INNER = "inner."


@dataclass(frozen=True)
class Slices:
    """Where in a parameter or buffer a layer's channels lie: `tensor.index_select(dim, index[k])` is channel k's."""

    tensor: str
    dim: int
    index: IntArray


@dataclass(frozen=True)
class Layer:
    """Channels that are made and read in the same places: what is cut evenly.

    Attributes:
        size: how many there are.
        slices: of every tensor that has them; `index` is (size, n): a channel that is read n times lies there n times.
    """

    size: int
    slices: tuple[Slices, ...]


class _Union:
    """Disjoint sets of channels (Tarjan 1975), with a frozen one."""

    def __init__(self) -> None:
        self._parent: list[int] = []
        self.frozen: set[int] = set()

    def new(self, n: int) -> IntArray:
        first = len(self._parent)
        self._parent.extend(range(first, first + n))
        return np.arange(first, first + n)

    def root(self, channel: int) -> int:
        while self._parent[channel] != channel:
            self._parent[channel] = self._parent[self._parent[channel]]
            channel = self._parent[channel]
        return channel

    def join(self, first: IntArray, second: IntArray) -> None:
        for one, other in zip(first.tolist(), second.tolist(), strict=True):
            self._parent[self.root(other)] = self.root(one)

    def freeze(self, channels: IntArray) -> None:
        self.frozen.update(channels.tolist())


def layers_of(module: nn.Module, example: Tensor) -> list[Layer]:
    """The layers that can be cut, in the order of their first tensor's name.

    What is followed is the network as it learns, with every head that it then has.

    Args:
        module: convolutions, normalizations and what stands between them.
        example: (N, C, H, W) float32, N and the smallest feature map's places more than 1; no value of it counts.
    """
    whole = _EveryOutput(copy.deepcopy(module).train())  # a copy: some keep what they computed last
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The tensor attributes? .* assigned during export", UserWarning)
        program = torch.export.export(whole, (example,))
    signature = program.graph_signature
    names = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    shapes = {name: tuple(value.shape) for name, value in whole.named_parameters()} | {
        name: tuple(value.shape) for name, value in whole.named_buffers()
    }
    walk = _Walk(names, signature.user_inputs, shapes)
    nodes = list(program.graph.nodes)
    mixing = {_home(node) for node in nodes if str(node.target) in _MIXING}
    for node in nodes:
        walk.take(node)
        if any(_home(node).startswith(home) for home in mixing):
            walk.freeze([node, *node.all_input_nodes])
    return walk.layers()


class _EveryOutput(nn.Module):
    """The tensors of a nested output, but for the features that ultralytics' heads hand on with it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> list[Tensor]:
        return list(_tensors_in(self.inner(x)))


def _tensors_in(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif is_dataclass(output):
        yield from _tensors_in([getattr(output, one.name) for one in fields(output)])
    elif isinstance(output, Mapping):
        yield from _tensors_in([value for name, value in output.items() if name != "feats"])
    else:
        for part in output:
            yield from _tensors_in(part)


class _Walk:
    def __init__(self, names: Mapping[str, str], inputs: Sequence[Any], shapes: Mapping[str, tuple[int, ...]]) -> None:
        self._names, self._inputs, self._shapes = names, inputs, shapes
        self._union = _Union()
        self._slots: dict[tuple[str, int], IntArray] = {}
        self._channels: dict[Node, IntArray | list[IntArray] | None] = {}
        self._operations: dict[str, Callable[[Node], IntArray | list[IntArray] | None]] = {
            "aten.conv2d.default": self._convolution,
            "aten.batch_norm.default": self._normalization,
            "aten.cat.default": self._concatenation,
            "aten.slice.Tensor": self._slice,
            "aten.chunk.default": self._parts,
            "aten.pad.default": self._padding,
            "<built-in function getitem>": self._part,
        }

    def take(self, node: Node) -> None:
        if node.op == "placeholder":
            if node.name in self._inputs:
                self._channels[node] = self._frozen(_shape(node)[_CHANNELS])
        elif node.op == "output":
            self.freeze(node.all_input_nodes)
        elif node.op == "call_function":
            self._channels[node] = self._operation(node)

    def layers(self) -> list[Layer]:
        """Groups that lie in the same tensors at the same dimensions, side by side."""
        frozen = {self._union.root(channel) for channel in self._union.frozen}
        places: dict[int, dict[tuple[str, int], list[int]]] = defaultdict(lambda: defaultdict(list))
        for slot, channels in self._slots.items():
            for index, channel in enumerate(channels.tolist()):
                places[self._union.root(channel)][slot].append(index)
        alike: dict[tuple[tuple[str, int, int], ...], list[dict[tuple[str, int], list[int]]]] = defaultdict(list)
        for root, found in places.items():
            if root not in frozen:
                alike[tuple(sorted((*slot, len(index)) for slot, index in found.items()))].append(found)
        return [
            Layer(
                len(groups),
                tuple(
                    Slices(name.removeprefix(_INNER), dim, np.array([group[name, dim] for group in groups]))
                    for name, dim, _ in key
                ),
            )
            for key, groups in sorted(alike.items())
        ]

    def _operation(self, node: Node) -> IntArray | list[IntArray] | None:
        name = str(node.target)
        if name in self._operations:
            return self._operations[name](node)
        if name in _PASSING:
            return self._of(node.args[0])
        if name in _JOINING:
            return self._join(node)
        self.freeze(node.all_input_nodes)
        return None

    def _convolution(self, node: Node) -> IntArray:
        read, weight, bias, _, _, _, groups = _arguments(node, None, None, None, None, None, None, 1)
        name = self._names[_node(weight).name]
        out, inside = self._shapes[name][:2]
        entering = self._of(read)
        made = self._slot(name, 0)
        if isinstance(bias, Node):
            self._tie(self._slot(self._names[bias.name], 0), made)
        if entering is None:
            self._union.freeze(self._slot(name, 1))
        elif groups == 1:
            self._tie(self._slot(name, 1), entering)
        elif groups == out == len(entering) and inside == 1:  # each channel by itself
            self._tie(made, entering)
        else:
            self._union.freeze(np.concatenate([made, entering]))
        return made

    def _normalization(self, node: Node) -> IntArray | None:
        entering = self._of(node.args[0])
        for argument in node.args[1:5]:
            if isinstance(argument, Node):
                slot = self._slot(self._names[argument.name], 0)
                if entering is None:
                    self._union.freeze(slot)
                else:
                    self._tie(slot, entering)
        return entering

    def _join(self, node: Node) -> IntArray | None:
        found = [self._of(argument) for argument in node.args if isinstance(argument, Node)]
        known = [channels for channels in found if channels is not None]
        if len(known) == 1 and len(found) == 1:  # with a number
            return known[0]
        if len(known) == 2 and len(known[0]) == len(known[1]):
            self._tie(known[0], known[1])
            return known[0]
        self.freeze(node.all_input_nodes)
        return None

    def _concatenation(self, node: Node) -> IntArray | None:
        parts: Any = node.args[0]
        found = [self._of(part) for part in parts]
        if _dimension(node) == _CHANNELS and all(channels is not None for channels in found):
            return np.concatenate([channels for channels in found if channels is not None])
        self.freeze(node.all_input_nodes)
        return None

    def _slice(self, node: Node) -> IntArray | None:
        entering = self._of(node.args[0])
        if entering is None or _dimension(node, default=0) != _CHANNELS:
            return entering
        _, _, start, stop, step = _arguments(node, None, 0, None, None, 1)
        if not all(end is None or isinstance(end, int) for end in (start, stop, step)):
            self.freeze(node.all_input_nodes)
            return None
        return entering[start:stop:step]

    def _parts(self, node: Node) -> list[IntArray] | None:
        """Halves stay halves: a channel of the one goes with that of the other. (What is split by a number in the code
        cannot be cut, for the number stays.)"""
        entering = self._of(node.args[0])
        if entering is None or _dimension(node, at=2, default=0) != _CHANNELS:
            self.freeze(node.all_input_nodes)
            return None
        sizes = [shape[_CHANNELS] for shape in _shapes(node)]
        parts = np.split(entering, np.cumsum(sizes)[:-1])
        if len(set(sizes)) > 1:
            self._union.freeze(entering)
        for part in parts[1:]:
            if len(part) == len(parts[0]):
                self._tie(parts[0], part)
        return parts

    def _part(self, node: Node) -> IntArray | None:
        whole: Any = self._channels.get(_node(node.args[0]))
        index: Any = node.args[1]
        return whole[index] if isinstance(whole, list) else None

    def _padding(self, node: Node) -> IntArray | None:
        """Of height and width; more would move channels."""
        amounts: Any = node.args[1]
        if len(amounts) <= 4:
            return self._of(node.args[0])
        self.freeze(node.all_input_nodes)
        return None

    def _of(self, argument: Any) -> IntArray | None:
        found = self._channels.get(argument) if isinstance(argument, Node) else None
        return found if isinstance(found, np.ndarray) else None

    def _slot(self, name: str, dim: int) -> IntArray:
        """The channels along a dimension of a tensor: the same wherever the tensor is used."""
        if (name, dim) not in self._slots:
            self._slots[name, dim] = self._union.new(self._shapes[name][dim])
        return self._slots[name, dim]

    def _frozen(self, n: int) -> IntArray:
        channels = self._union.new(n)
        self._union.freeze(channels)
        return channels

    def _tie(self, first: IntArray, second: IntArray) -> None:
        self._union.join(first, second)

    def freeze(self, nodes: Iterable[Node]) -> None:
        """Keep what these carry."""
        for node in nodes:
            if (channels := self._of(node)) is not None:
                self._union.freeze(channels)


def _home(node: Node) -> str:
    """The path of the innermost module that a call stands in."""
    stack = node.meta.get("nn_module_stack") or {}
    return next((path for path, _ in reversed(stack.values())), "")


def _arguments(node: Node, *defaults: Any) -> tuple[Any, ...]:
    """Those of a call, with the trailing ones that the export leaves out."""
    return (*node.args, *defaults[len(node.args) :])


def _node(argument: Any) -> Node:
    assert isinstance(argument, Node)
    return argument


def _dimension(node: Node, *, at: int = 1, default: int = 0) -> int:
    found = node.args[at] if len(node.args) > at else node.kwargs.get("dim", default)
    return int(found) if isinstance(found, int) else default


def _shape(node: Node) -> Sequence[int]:
    return tuple(node.meta["val"].shape)


def _shapes(node: Node) -> list[Sequence[int]]:
    return [tuple(value.shape) for value in node.meta["val"]]
