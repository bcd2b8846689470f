"""Attention in float, against torch's own and against Bahdanau's equations written out."""

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from deltaloom.compiler.attention import Attention, attend
from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.errors import DeltaloomError, UnsupportedError
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.network import LastStep, Layer, Network, parameter_shapes
from deltaloom.compiler.quantize import quantize
from deltaloom.compiler.recipe import Recipe


def vectors(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize("causal", [True, False])
def test_dot_is_torchs(causal, scale):
    q, k, v = vectors((9, 5), (9, 5), (9, 3))
    found = attend(Attention("a", "dot", causal, 9, scale=scale), q, k, v)
    wanted = scaled_dot_product_attention(
        *(torch.tensor(part)[None] for part in (q, k, v)), is_causal=causal, scale=scale
    )
    np.testing.assert_allclose(found, wanted[0].numpy(), rtol=1e-12, atol=1e-12)


def test_queries_of_another_sequence_are_torchs():
    q, k, v = vectors((4, 5), (11, 5), (11, 3))
    found = attend(Attention("a", "dot", False, 11), q, k, v)
    wanted = scaled_dot_product_attention(*(torch.tensor(part)[None] for part in (q, k, v)))
    np.testing.assert_allclose(found, wanted[0].numpy(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("causal", [True, False])
def test_additive_is_bahdanaus(causal):
    q, k, v, energies = vectors((6, 5), (6, 5), (6, 3), (5,))
    found = attend(Attention("a", "additive", causal, 6, energies=energies), q, k, v)
    for step, (query, context) in enumerate(zip(q, found, strict=True)):
        met = step + 1 if causal else 6
        e = [energies @ np.tanh(query + k[s]) for s in range(met)]
        weights = np.exp(e) / np.exp(e).sum()
        np.testing.assert_allclose(context, weights @ v[:met], rtol=1e-12)


def layer(name, cell, *sources):
    rng = np.random.default_rng(len(name))
    graph = trace(cell)
    parameters = {k: rng.normal(size=s) for k, s in parameter_shapes(graph).items()}
    return Layer(name, type(cell).__name__, graph, parameters, sources)


def test_sequences_of_different_lengths_do_not_meet():
    network = Network(
        (layer("v", Linear(3, 4)), Attention("a", "dot", True, 9, sources=("v",) * 3))
    )
    network.check()
    sequences = vectors((9, 3), (1, 3), (4, 3), (9, 3))
    together = evaluate(network, sequences)
    for sequence, found in zip(sequences, together, strict=True):
        np.testing.assert_allclose(found, evaluate(network, [sequence])[0], rtol=1e-12)


def test_a_final_state_asks_the_whole_sequence():
    """Luong's global attention, with the encoder's last state as the query."""
    network = Network(
        (
            layer("rnn", GRU(3, 4)),
            LastStep("last"),
            Attention("a", "dot", False, 9, scale=1.0, sources=("last", "rnn", "rnn")),
        )
    )
    network.check()
    assert network.once
    sequences = vectors((9, 3), (2, 3))
    states = evaluate(Network(network.layers[:1]), sequences)
    for found, h in zip(evaluate(network, sequences), states, strict=True):
        weights = np.exp(h @ h[-1])
        np.testing.assert_allclose(found, weights @ h / weights.sum(), rtol=1e-9)


Q, LAST = layer("q", Linear(2, 3), "input"), LastStep("last", sources=("q",))
REFUSED = {
    "form": (Attention("a", "cosine", True, 5, sources=("q",) * 3), "Layer a must have a form of"),
    "causal": (Attention("a", "dot", 1, 5, sources=("q",) * 3), "Layer a must be causal or not"),
    "room": (
        Attention("a", "dot", True, 0, sources=("q",) * 3),
        "Layer a must have max_steps from 1 to 65536, not 0",
    ),
    "sources": (
        Attention("a", "dot", True, 5, sources=("q", "q")),
        "Layer a must have three sources, of queries, keys and values, not 2",
    ),
    "sizes": (
        Attention("a", "dot", True, 5, sources=("q", "input", "q")),
        "Layer a must have queries and keys of equal size, not 3 and 2",
    ),
    "timesteps": (
        Attention("a", "dot", True, 5, sources=("last", "q", "q")),
        "Layer a must have sources with the same timesteps, which last and q and q do not",
    ),
    "timesteps of keys": (
        Attention("a", "dot", False, 5, sources=("q", "last", "q")),
        "Layer a must have sources with the same timesteps, which last and q do not",
    ),
    "energies": (
        Attention("a", "additive", True, 5, sources=("q",) * 3),
        "Layer a must have a scale in the form 'dot' and energies in the form 'additive' alone",
    ),
    "energies of dot": (
        Attention("a", "dot", True, 5, energies=np.ones(3), sources=("q",) * 3),
        "Layer a must have a scale in the form 'dot' and energies in the form 'additive' alone",
    ),
    "number of energies": (
        Attention("a", "additive", True, 5, energies=np.ones(2), sources=("q",) * 3),
        "Layer a must have as many energies as a query has features, 3, not 2",
    ),
    "energies of NaN": (
        Attention("a", "additive", True, 5, energies=np.full(3, np.nan), sources=("q",) * 3),
        "Energies of layer a must be finite",
    ),
    "scale": (
        Attention("a", "dot", True, 5, scale=0.0, sources=("q",) * 3),
        "Layer a must have a scale from",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    attention, sentence = REFUSED[name]
    before = (Q, LAST) if "last" in attention.sources else (Q,)
    with pytest.raises(DeltaloomError, match=f"^{sentence}"):
        Network((*before, attention)).check()


def test_a_sequence_without_room_is_refused():
    network = Network((Q, Attention("a", "dot", True, 5, sources=("q",) * 3)))
    with pytest.raises(
        DeltaloomError, match=r"^Layer a must get keys of at most 5 timesteps, not 6$"
    ):
        evaluate(network, np.zeros((1, 6, 2)))


def additive():
    energies = np.array([0.5, -1.0, 0.25])
    return Network((Q, Attention("a", "additive", True, 5, energies=energies, sources=("q",) * 3)))


def test_a_recipe_names_operands_and_energies():
    x = vectors((2, 5, 2))[0]
    paths = {
        "a.p": {"activations": "int12"},
        "a.t": {"activations": "int6"},
        "a.k": {"activations": "int10"},
        "a.score.t": {"weights": "int5"},
    }
    found = quantize(additive(), x, Recipe(paths=paths)).layers[-1]
    assert (found.weight.width, found.hidden.width, found.energy.width) == (12, 6, 5)
    assert found.key.width == found.query.width == 10  # they are one stream
    with pytest.raises(DeltaloomError, match=r"^Recipe paths 'a.c' must match activations"):
        quantize(additive(), x, Recipe(paths={"a.c": {"activations": "int4"}}))
    with pytest.raises(DeltaloomError, match=r"^Recipe theta must name layers of the network"):
        quantize(additive(), x, Recipe(skip="delta", theta={"a": {"p": 1}}))


@pytest.mark.parametrize(
    "recipe",
    [Recipe(weights="ternary"), Recipe(paths={"a.score.t": {"scale": "real"}})],
)
def test_energies_that_are_no_integers_are_refused(recipe):
    with pytest.raises(UnsupportedError, match=r"^Energies a\.score\.t must be integers with a"):
        quantize(additive(), vectors((2, 5, 2))[0], recipe)
