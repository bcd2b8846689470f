from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from deltaloom.compiler import artifact
from deltaloom.compiler.cells import GRU, ConvLSTM, PeepholeConvLSTM
from deltaloom.compiler.checks.network_checks import check_network
from deltaloom.compiler.conv_schedule import Spans
from deltaloom.compiler.convolution import convolution, frames
from deltaloom.compiler.errors import UnsupportedError
from deltaloom.compiler.fixed import Format
from deltaloom.compiler.graph import Affine
from deltaloom.compiler.integer import Operand
from deltaloom.compiler.integer_network import IntegerNetwork
from deltaloom.compiler.network import Network, Sum
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe

SHAPES = [
    ((3, 5), 3, "same", 1),
    ((1, 1), 3, "same", 1),
    ((4, 3), (2, 4), "same", (1, 2)),
    ((5, 7), (3, 2), "valid", (2, 3)),
    ((2, 3), 2, (2, 4), 1),
    ((3, 1), (1, 5), (0, 4), (1, 2)),
]


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_windows_and_spans(shape):
    """Products of windows equal torch's; spans name the elements that are no zeros, in order."""
    grid, kernel, padding, dilation = shape
    found = convolution(*shape)
    x = np.random.default_rng(0).integers(1, 100, (2, found.frame * 3))
    weights = np.random.default_rng(1).integers(-9, 9, (2, *found.kernel, 3))
    result = found.gather(x) @ weights.reshape(2, -1).T
    want = functional.conv2d(
        torch.from_numpy(frames(x, grid).copy()),
        torch.from_numpy(weights.transpose(0, 3, 1, 2).copy()),
        padding=padding,
        dilation=dilation,
    )
    assert tuple(want.shape[-2:]) == found.outputs
    got = frames(result.reshape(2, -1), found.outputs)
    np.testing.assert_array_equal(got, want.numpy())

    operand = Operand("x", 0, 0, found.frame * 3, Format(8, 0), 0, found)
    spans = Spans.of(operand)
    elements = found.elements(3)
    for window, first, behind in zip(elements, *spans.places(), strict=True):
        pixels = [p for a, b in zip(first, behind, strict=True) for p in range(a, b)]
        walked = [p * 3 + channel for p in pixels for channel in range(3)]
        assert walked == [e for e in window if e < operand.size]
    assert found.matched * 3 == (elements < operand.size).sum()
    if padding == "same":
        largest = np.where(elements < operand.size, elements, -1).max(axis=1) // 3
        assert (spans.needed() > largest).all()
        assert spans.needed().max() == found.frame


def test_refusals():
    with pytest.raises(UnsupportedError, match="^Stride must be 1, not 2: no other is supported$"):
        convolution((3, 3), 3, stride=2)
    with pytest.raises(ValueError, match="^Kernel must fit the padded grid: one of "):
        convolution((2, 3), 3, "valid")
    with pytest.raises(ValueError, match="^Padding must be 'same', 'valid' or integers, not 'r'$"):
        convolution((2, 3), 3, "r")
    with pytest.raises(ValueError, match="^Kernel must be an integer of at least 1 or two, not 0$"):
        convolution((2, 3), 0)
    with pytest.raises(ValueError, match="^Vectors must have a multiple of 6 elements, not 7$"):
        frames(np.zeros(7), (2, 3))


def test_saved_and_loaded(tmp_path, integer_network):
    network = integer_network(PeepholeConvLSTM(2, 3, (3, 4), (2, 3)))
    artifact.save(network, tmp_path / "a")
    loaded = artifact.load(tmp_path / "a")
    assert loaded.layers[0].graph == network.layers[0].graph
    artifact.save(loaded, tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def with_convolution(network, name, **changes):
    """The network with other convolutions on the paths of one operand."""
    (layer,) = network.layers
    nodes = [
        replace(
            node,
            paths=tuple(
                replace(p, convolution=replace(p.convolution, **changes) if changes else None)
                if p.name == name
                else p
                for p in node.paths
            ),
        )
        if isinstance(node, Affine)
        else node
        for node in layer.graph.nodes
    ]
    return IntegerNetwork((replace(layer, graph=replace(layer.graph, nodes=tuple(nodes))),))


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("h", {}, "Layer l.0 must have convolutions alone, or none"),
        ("x", {"after": (2, 1)}, "Layer l.0 must have convolutions that give the same grid"),
        ("x", {"kernel": (9, 9)}, "Path l.0.x must have a kernel that fits its grid"),
        ("x", {"kernel": (1 << 20, 1)}, "Path l.0.x must have grids, kernels and dilations of 1 "),
        ("x", {"grid": (5, 5)}, "Path l.0.x must have as many elements for every pixel"),
        (
            "h",
            {"grid": (4, 3), "before": (0, 1), "after": (1, 2)},
            "Path l.0.h must keep the grid of the state",
        ),
    ],
)
def test_rules(integer_network, name, changes, sentence):
    network = integer_network(ConvLSTM(1, 2, (3, 4), 3))
    check_network(network)
    with pytest.raises(ValueError, match=f"^{sentence}"):
        check_network(with_convolution(network, name, **changes))


@pytest.mark.parametrize("dilation", [1, 2])
def test_scatter_is_the_transpose_of_gather(dilation):
    windows = convolution((4, 5), (3, 2), dilation=dilation)
    rng = np.random.default_rng(0)
    frames = rng.integers(-9, 9, (2, 3, 4 * 5 * 3))
    others = rng.integers(-9, 9, (2, 3, windows.pixels, windows.taps * 3))
    assert (windows.gather(frames) * others).sum() == (frames * windows.scatter(others)).sum()


def test_a_convolution_takes_its_input_as_it_comes(float_network):
    """One stream for two readers is as wide as the wider one asks; a cell can round it."""
    (conv,) = float_network(ConvLSTM(1, 2, (3, 2), 3)).layers
    (other,) = float_network(GRU(6, 12)).layers
    network = Network(
        (
            replace(conv, name="conv", sources=("input",)),
            replace(other, name="gru", sources=("input",)),
            Sum("sum", sources=("conv", "gru")),
        )
    )
    x = np.random.default_rng(0).normal(size=(2, 9, 6))
    quantize(network, x, Recipe())
    with pytest.raises(UnsupportedError) as error:
        quantize(network, x, Recipe(paths={"gru.x": {"activations": "int12"}}))
    assert str(error.value) == (
        "Operand conv.x of a convolution is multiplied as it comes, which is in 12 bits; supported "
        "is int8 for all that reads this stream"
    )
