"""Derivatives against torch's own, of a plain interpreter that shares the graph alone with ours."""

import numpy as np
import pytest
import torch

import deltaloom as dl
from deltaloom.compiler.cells import (
    GRU,
    LSTM,
    RNN,
    SRU,
    ConvLSTM,
    CoupledLSTM,
    LayerNormLSTM,
    LiGRU,
    Linear,
    PeepholeConvLSTM,
    PeepholeLSTM,
    ProjectedLSTM,
    ReluRNN,
    ResetBeforeGRU,
)
from deltaloom.compiler.fixed import requantize
from deltaloom.compiler.graph import (
    Activation,
    Add,
    Affine,
    Constant,
    Input,
    Inverse,
    Mul,
    Multiple,
    Reduce,
    Rescale,
    State,
    Sub,
)
from deltaloom.compiler.network import Network
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe
from deltaloom.training.layer import run_layer
from deltaloom.training.ranges import step_positions

CELLS = [
    *(LSTM, GRU, RNN, ReluRNN, Linear, LiGRU, CoupledLSTM, PeepholeLSTM, ResetBeforeGRU),
    SRU,
    LayerNormLSTM,
]
SLOPES = {
    "relu": lambda y: (y > 0).double(),
    "sigmoid": lambda y: y * (1 - y),
    "tanh": lambda y: 1 - y * y,
}


def straight(real, through, slope=1.0):
    """The value ``real`` with ``slope`` times the derivative of ``through``."""
    return real + slope * (through - through.detach())


class Reference:
    """One layer in float64 tensors, node by node, with torch's automatic derivatives."""

    def __init__(self, layer, parameters, steps):
        self.layer, self.parameters = layer, parameters
        self.steps = {layer.graph.nodes[p].name: step for p, step in steps.items()}
        self.held = {}

    def node(self, node, values, operands):
        nodes = self.layer.graph.nodes
        match node:
            case Affine(name=name, paths=paths):
                total = self.parameters[name].repeat(node.pixels)
                for path in paths:
                    weights = self.parameters[node.key(path)]
                    factors = operands[path.operand]
                    if path.convolution:
                        nothing = torch.zeros_like(factors[:, :1])
                        channels = factors.shape[1] // path.convolution.frame
                        places = torch.from_numpy(path.convolution.elements(channels))
                        factors = torch.cat([factors, nothing], dim=1)[:, places]
                    total = total + (factors @ weights.T).reshape(len(factors), -1)
                return total
            case Add(a=a, b=b):
                return values[a] + values[b]
            case Sub(a=a, b=b):
                return values[a] - values[b]
            case Mul(a=a, b=b):
                return values[a] * values[b]
            case Multiple(operand=p, factor=factor):
                return values[p] * factor
            case Reduce(operand=p):
                return values[p].sum(-1, keepdim=True)
            case Inverse(operand=p, function=function):
                inverse = self.layer.inverse(node)
                codes = (values[p].detach() / inverse.source.scale).long().numpy()
                found = torch.from_numpy(inverse(codes) * inverse.target.scale)
                slope = -0.5 * found**3 if function == "root" else -(found**2)
                return straight(found, values[p], slope)
            case Activation(operand=p, function="abs"):
                return values[p].abs()
            case Activation(operand=p, function="relu"):
                return values[p].relu()
            case Activation(operand=p, function=function):
                table = self.layer.tables[node.name]
                codes = (values[p].detach() / table.source.scale).long().numpy()
                found = torch.from_numpy(table(codes) * table.target.scale)
                return straight(found, values[p], SLOPES[function](found))
            case Rescale(operand=p):
                source = nodes[p].format
                exact = (values[p].detach() / source.scale).long().numpy()
                found = requantize(exact, source, node.format)
                wide = requantize(exact, source, type(source)(60, node.format.frac))
                inside = torch.from_numpy(found == wide).double()
                growth = torch.tensor(1.0).double()
                if node.name in self.steps:
                    step = self.steps[node.name].double()
                    growth = 2 ** (step - step.detach())
                through = values[p] / growth
                real = torch.from_numpy(found * node.format.scale)
                return growth * straight(real, through, inside)

    def fire(self, operand, value):
        """The value that products stand for, with a threshold."""
        before = self.held.get(operand.name, torch.zeros_like(value))
        difference = (value - before).detach().abs()
        far = difference >= operand.theta * operand.format.scale
        if operand.kept is not None:
            order = torch.sort(difference, dim=-1, descending=True, stable=True).indices
            far = torch.zeros_like(far).scatter(-1, order[:, : operand.kept], True)
        exact = operand.theta <= 1 and operand.kept is None
        self.held[operand.name] = value if exact else torch.where(far, value, before)
        return self.held[operand.name]

    def run(self, x):
        graph, outputs, used = self.layer.graph, [], []
        states = {p: torch.zeros(x.shape[1], node.size).double() for p, node in graph.of(State)}
        for row in x:
            values, operands = {}, {}
            for position, node in enumerate(graph.nodes):
                match node:
                    case Input():
                        values[position] = row
                    case State():
                        values[position] = states[position]
                    case Constant(name=name):
                        values[position] = self.parameters[name].expand(x.shape[1], -1)
                    case _:
                        values[position] = self.node(node, values, operands)
                for operand in self.layer.operands:
                    if operand.node == position:
                        operands[position] = self.fire(operand, values[position])
            outputs.append(values[graph.output])
            used.append(list(operands.values()))
            states = {p: values[graph.next_of(p)] for p in states}
        return (
            torch.stack(outputs),
            states,
            [torch.stack(parts) for parts in zip(*used, strict=True)],
        )


def integers(random_layer, cell, options, seed=0):
    """A layer with coarse formats, real values of its parameters, and an input."""
    rng = np.random.default_rng(seed)
    layer = random_layer("rnn.0", cell, seed=seed, scale=2.0)
    data = rng.normal(size=(3, 9, cell.input_size))
    network = quantize(Network((layer,)), data, Recipe(**options))
    (integer,) = network.computing
    parameters = {}
    for _, affine in integer.graph.of(Affine):
        for path in affine.paths:
            key = affine.key(path)
            parameters[key] = integer.weights[key] * path.format.scale
        parameters[affine.name] = integer.biases[affine.name] * affine.format.scale
    for _, constant in integer.graph.of(Constant):
        parameters[constant.name] = integer.constants[constant.name] * constant.format.scale
    format = integer.input_format
    x = format.quantize(1.5 * data.swapaxes(0, 1)) * format.scale
    return integer, parameters, x


def leaves(parameters, x):
    tensors = {name: torch.from_numpy(values.copy()) for name, values in parameters.items()}
    for tensor in tensors.values():
        tensor.requires_grad_()
    return tensors, torch.from_numpy(x).requires_grad_()


OPTIONS = [
    {"clip": "minmax"},
    {"weights": "int3", "activations": "int3"},
    {"weights": "int4", "activations": "int4", "skip": "delta", "theta": 2},
    {"elementwise": 6, "skip": "zero"},
]
SELECTED = {"skip": "top_k", "k": 3}


@pytest.mark.parametrize("options", [*OPTIONS, SELECTED], ids=str)
@pytest.mark.parametrize("cell", CELLS)
def test_derivatives_are_those_of_torch(random_layer, cell, options):
    check(random_layer, cell(5, 7), options)


@pytest.mark.parametrize("options", [*OPTIONS, SELECTED], ids=str)
def test_derivatives_of_a_projection(random_layer, options):
    check(random_layer, ProjectedLSTM(5, 7, 3), options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_derivatives_of_a_highway(random_layer, options):
    check(random_layer, SRU(6, 6, "tanh", scaled=True), options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_mean_absolute_deviation(random_layer, options):
    check(random_layer, LayerNormLSTM(3, 4, "mad"), options)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("cell", [ConvLSTM, PeepholeConvLSTM])
def test_derivatives_of_convolutions(random_layer, cell, options):
    check(random_layer, cell(2, 3, (3, 2), 3), options)


def check(random_layer, cell, options):
    integer, parameters, x = integers(random_layer, cell, options)
    names = tuple(node.name for _, node in integer.graph.of(State))
    rng = np.random.default_rng(1)

    def weigh(tensor):
        return (tensor * torch.from_numpy(rng.normal(size=tensor.shape))).sum()

    ours, our_x = leaves(parameters, x)
    places = step_positions(integer)
    our_steps = {p: torch.zeros((), requires_grad=True) for p in places}
    found = run_layer(integer, our_x, ours, np.full(x.shape[1], len(x)), names, our_steps)
    loss = weigh(found.values)
    for name in names:
        loss = loss + weigh(found.states[name])
    for operand in integer.operands:
        loss = loss + weigh(found.operands[operand.name])
    loss.backward()

    rng = np.random.default_rng(1)
    wanted, wanted_x = leaves(parameters, x)
    wanted_steps = {p: torch.zeros((), requires_grad=True) for p in places}
    outputs, states, used = Reference(integer, wanted, wanted_steps).run(wanted_x)
    loss = weigh(outputs)
    for position, _ in integer.graph.of(State):
        loss = loss + weigh(states[position])
    for values in used:
        loss = loss + weigh(values)
    loss.backward()

    np.testing.assert_array_equal(found.values.detach(), outputs.detach())
    for operand, values in zip(integer.operands, used, strict=True):
        np.testing.assert_array_equal(found.operands[operand.name].detach(), values.detach())
    # Both sum the same terms in float64, in another order.
    np.testing.assert_allclose(our_x.grad, wanted_x.grad, rtol=1e-9, atol=1e-9)
    for name in parameters:
        np.testing.assert_allclose(ours[name].grad, wanted[name].grad, rtol=1e-9, atol=1e-9)
    for position in places:  # of float32
        our, their = our_steps[position].grad, wanted_steps[position].grad
        np.testing.assert_allclose(our, their, rtol=1e-5, atol=1e-5)


def test_fine_formats_have_the_derivatives_of_the_float_layer():
    """Within what 16-bit weights, activations and tables make of them."""
    torch.manual_seed(0)
    module = torch.nn.LSTM(4, 6, batch_first=True).double()
    x = torch.randn(5, 8, 4).double()
    recipe = Recipe(weights="int16", activations="int16", clip="minmax")
    prepared = dl.prepare(module, recipe, x)
    module(x)[0].square().sum().backward()
    prepared(x)[0].square().sum().backward()
    gates = module.weight_hh_l0.grad.split(6)
    for gate, wanted in zip("ifgo", gates, strict=True):
        found = prepared.get_parameter(f"cells.lstm.0.{gate}.h.value").grad
        np.testing.assert_allclose(found, wanted, atol=2e-3 * float(wanted.abs().max()))
