"""Networks with a memory beside their input: in float, their rules, and their files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import deltaloom as dl
from deltaloom.compiler.attention import Attention
from deltaloom.compiler.cells import GRU, Linear
from deltaloom.compiler.checks.network_checks import check_network
from deltaloom.compiler.evaluate import evaluate
from deltaloom.compiler.fixed import Format
from deltaloom.compiler.frontends.torch_frontend import trace_module
from deltaloom.compiler.network import Concatenate, LastStep, Network, Sum, Window
from deltaloom.compiler.recipe import Recipe
from deltaloom.compiler.skew import join_depths

SIZES = ((9, 1), (1, 6), (4, 12), (7, 5))  # timesteps of memory and input


def pairs(features=(3, 2), sizes=SIZES, seed=0):
    rng = np.random.default_rng(seed)
    memory = [rng.normal(size=(kept, features[0])) for kept, _ in sizes]
    return memory, [rng.normal(size=(asked, features[1])) for _, asked in sizes]


@pytest.fixture
def from_module():
    """The layer that a torch module is, with a name and sources of its own."""

    def make(name, module, source):
        (layer,) = trace_module(module.double()).network.layers
        return replace(layer, name=name, sources=(source,))

    return make


@pytest.fixture
def translator(make_layer):
    """Encoder, decoder and attention between them."""

    def make(*, inputs=(3, 2), size=5, form="dot", max_steps=9, causal=False):
        def layer(name, cell, source):
            return replace(make_layer(name, cell, scale=0.8), sources=(source,))

        energies = np.linspace(-1, 1, size) if form == "additive" else None
        sources = ("decoder", "encoder", "encoder")
        return Network(
            (
                layer("encoder", GRU(inputs[0], size), "memory"),
                layer("decoder", GRU(inputs[1], size), "input"),
                Attention("att", form, causal, max_steps, energies=energies, sources=sources),
                Concatenate("both", sources=("decoder", "att")),
                layer("head", Linear(2 * size, 3), "both"),
            )
        )

    return make


@pytest.mark.parametrize("form", ["dot", "additive"])
def test_is_what_torch_computes(from_module, form):
    """An encoder, a decoder and attention of the one to the other, written out."""
    torch.manual_seed(0)
    encoder = nn.GRU(3, 5, batch_first=True)
    decoder = nn.GRU(2, 5, batch_first=True)
    energies = torch.randn(5, dtype=torch.float64)
    additive = form == "additive"
    network = Network(
        (
            from_module("encoder", encoder, "memory"),
            from_module("decoder", decoder, "input"),
            Attention(
                "att",
                form,
                False,
                9,
                energies=energies.numpy() if additive else None,
                sources=("decoder", "encoder", "encoder"),
            ),
        )
    )
    memory, x = pairs()
    found = evaluate(network, x, memory=memory)
    for kept, asked, got in zip(memory, x, found, strict=True):
        with torch.no_grad():
            keys, _ = encoder(torch.tensor(kept)[None])
            queries, _ = decoder(torch.tensor(asked)[None])
            if additive:
                scores = torch.tanh(queries[:, :, None] + keys[:, None]) @ energies
            else:
                scores = queries @ keys.mT / 5**0.5
            want = torch.softmax(scores, dim=2) @ keys
        # sums of some ten products of size one, each within 2**-53, through a few layers
        np.testing.assert_allclose(got, want[0].numpy(), rtol=0, atol=1e-13)


def test_batches_of_equal_lengths(translator):
    network = translator()
    rng = np.random.default_rng(1)
    memory, x = rng.normal(size=(4, 9, 3)), rng.normal(size=(4, 5, 2))
    whole = evaluate(network, x, memory=memory)
    assert whole.shape == (4, 5, 3)
    alone = evaluate(network, list(x), memory=list(memory))
    np.testing.assert_allclose(whole, alone, rtol=0, atol=1e-14)


def test_golden_model_follows_the_float_network(translator):
    network = translator()
    memory, x = pairs()
    model = dl.quantize(network, x, Recipe(activations="int16", weights="int16"), memory=memory)
    # 16 bits of values below 4 err by 2**-14 a rounding; some ten of them meet in a result.
    for found, want in zip(
        model(x, memory=memory), evaluate(network, x, memory=memory), strict=True
    ):
        np.testing.assert_allclose(found, want, rtol=0, atol=2.0**-9)


def test_pairs_do_not_meet_each_other(translator):
    network = translator()
    memory, x = pairs()
    model = dl.quantize(network, x, memory=memory)
    together = model.integer(x, memory=memory)
    for place, want in enumerate(together):
        one = slice(place, place + 1)
        (found,) = model.integer(x[one], memory=memory[one])
        np.testing.assert_array_equal(found, want)
    swapped = model.integer(x, memory=memory[::-1])
    assert any(np.any(a != b) for a, b in zip(swapped, together, strict=True))


def test_what_is_known_of_both_inputs(translator):
    memory, x = pairs()
    model = dl.quantize(translator(), x, memory=memory)
    inputs = model.network.inputs
    assert list(inputs) == ["memory", "input"]
    assert [taken.size for taken in inputs.values()] == [3, 2]
    assert [taken.max_steps for taken in inputs.values()] == [9, None]
    assert model.summary()["memory"] == {"size": 3, "format": str(inputs["memory"].format)}
    assert model.accuracy(x, [np.zeros(len(s), int) for s in x], memory=memory) <= 1
    activity = model.activity(x, memory=memory)
    assert activity.layers["encoder"].columns["x"].total == 3 * sum(map(len, memory))
    assert activity.layers["decoder"].columns["x"].total == 2 * sum(map(len, x))


def test_sizes_that_only_attention_says(make_layer):
    """The memory itself is key and value; its size is that of the queries."""
    decoder = replace(make_layer("decoder", GRU(2, 3)), sources=("input",))
    attention = Attention("att", "dot", False, 9, sources=("decoder", "memory", "memory"))
    network = Network((decoder, attention))
    network.check()
    assert network.inputs == {"memory": 3, "input": 2}


def test_model_files(translator, tmp_path):
    memory, x = pairs()
    model = dl.quantize(translator(form="additive"), x, memory=memory)
    model.save(tmp_path / "a.safetensors")
    found = dl.load(tmp_path / "a.safetensors")
    found.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    for got, want in zip(
        found.integer(x, memory=memory), model.integer(x, memory=memory), strict=True
    ):
        np.testing.assert_array_equal(got, want)


def test_a_format_that_nobody_asks_for(make_layer, tmp_path):
    """The memory is summed before a cell sees it."""
    layers = (
        Sum("twice", sources=("memory", "memory")),
        replace(make_layer("encoder", Linear(3, 5)), sources=("twice",)),
        replace(make_layer("decoder", GRU(2, 5)), sources=("input",)),
        Attention("att", "dot", False, 9, sources=("decoder", "encoder", "encoder")),
    )
    memory, x = pairs()
    model = dl.quantize(Network(layers), x, memory=memory)
    assert model.network.given_memory == model.network.inputs["memory"].format
    model.save(tmp_path / "a.safetensors")
    assert dl.load(tmp_path / "a.safetensors").network.given_memory == model.network.given_memory
    with pytest.raises(ValueError, match="must not have a given format"):
        check_network(replace(model.network, given_format=Format(8, 4)))


def test_a_layer_may_be_called_memory(make_layer):
    """Then it is no input, as it never was."""
    layers = (
        replace(make_layer("memory", GRU(2, 3)), sources=("input",)),
        replace(make_layer("head", Linear(3, 2)), sources=("memory",)),
    )
    network = Network(layers)
    network.check()
    assert network.inputs == {"input": 2}


def test_queues_do_not_wait_for_the_other_input(translator):
    """Neither a query for the whole memory, nor what goes around the attention."""
    memory, x = pairs()
    network = dl.quantize(translator(), x, memory=memory).network
    depths = join_depths(network)
    assert depths["att"] == (10, 10, 10)
    assert depths["both"] == (20, 10)


def test_windows_of_either_input(make_layer):
    layers = (
        Window("near", 3, sources=("memory",)),
        replace(make_layer("encoder", Linear(9, 5)), sources=("near",)),
        replace(make_layer("decoder", GRU(2, 5)), sources=("input",)),
        Attention("att", "dot", False, 7, sources=("decoder", "encoder", "encoder")),
    )
    memory, x = pairs(sizes=((9, 1), (3, 6)))
    network = dl.quantize(Network(layers), x, memory=memory).network
    taken = network.inputs
    assert (taken["memory"].min_steps, taken["memory"].max_steps) == (3, 9)
    assert (taken["input"].min_steps, taken["input"].max_steps) == (1, None)


class TestRefusals:
    def test_sources_of_both(self, make_layer):
        layers = (
            replace(make_layer("encoder", GRU(3, 5)), sources=("memory",)),
            replace(make_layer("decoder", GRU(2, 5)), sources=("input",)),
            Concatenate("both", sources=("encoder", "decoder")),
            replace(make_layer("head", Linear(10, 3)), sources=("both",)),
        )
        with pytest.raises(dl.DeltaloomError, match="Layer both must not mix streams of the input"):
            Network(layers).check()

    def test_causal_attention_to_a_memory(self, translator):
        with pytest.raises(dl.DeltaloomError, match="Layer att must not mix streams of the input"):
            translator(causal=True).check()

    @pytest.mark.parametrize(
        "sources",
        [
            ("encoder", "decoder", "decoder"),
            ("decoder", "encoder", "decoder"),
            ("encoder", "encoder", "decoder"),
        ],
    )
    def test_attention_the_other_way(self, translator, sources):
        layers = list(translator().layers)
        layers[2] = replace(layers[2], sources=sources)
        with pytest.raises(dl.DeltaloomError, match="Layer att must not mix streams of the input"):
            Network(tuple(layers)).check()

    def test_an_output_of_the_memory(self, translator):
        layers = (*translator().layers, LastStep("end", sources=("encoder",)))
        with pytest.raises(dl.DeltaloomError, match="must be read by a layer|from its input"):
            Network(layers).check()

    def test_an_input_that_is_not_read(self, make_layer):
        layers = (replace(make_layer("encoder", GRU(3, 5)), sources=("memory",)),)
        with pytest.raises(dl.DeltaloomError, match="input"):
            Network(layers).check()

    def test_data(self, translator):
        network = translator()
        memory, x = pairs()
        with pytest.raises(dl.DeltaloomError, match="Memory must be given"):
            dl.quantize(network, x)
        model = dl.quantize(network, x, memory=memory)
        with pytest.raises(dl.DeltaloomError, match="Memory must be given"):
            model(x)
        with pytest.raises(dl.DeltaloomError, match="sequence for each of the input, 4, not 3"):
            model(x, memory=memory[1:])
        with pytest.raises(dl.DeltaloomError, match=r"Memory must have shape \(time, 3\)"):
            model(x, memory=x)
        with pytest.raises(dl.DeltaloomError, match="Memory must hold sequences of at most 9"):
            model(x, memory=[np.zeros((10, 3))] * 4)

    def test_a_memory_where_there_is_none(self, make_layer):
        network = Network((make_layer("rnn", GRU(2, 3)),))
        memory, x = pairs()
        with pytest.raises(dl.DeltaloomError, match="Memory must be left out"):
            dl.quantize(network, x, memory=memory)
        model = dl.quantize(network, x)
        with pytest.raises(dl.DeltaloomError, match="Memory must be left out"):
            model.integer(x, memory=memory)
