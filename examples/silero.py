"""Silero's voice detector in hardware: its LSTM and head, its own encoder before them in float.

``make silero``: of 24,652 frames of 32 ms (60 sentences with pauses, in pink noise of 0 to 20 dB)
float calls 59.04 % speech and the 8-bit hardware 59.05 %, and 99.84 % of the decisions are equal;
1,138 clock cycles a frame on 64 lanes, 82 % of the input's columns skipped because they are zero.

The network is the 16 kHz one of the package ``silero-vad``; the speech is Debian's festvox-ru, of
one speaker.
"""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import safetensors.torch
import torch
from rich.console import Console
from torch import nn
from torch.nn import functional

import deltaloom as dl
from deltaloom.bench.data import russian_speech, silero_weights
from deltaloom.cli.display import DONE, FAILED, Progress, by_layer, by_operand, complain, facts

__all__ = ["LANES", "Detector", "Encoder", "features", "main", "recordings"]

LANES = {"lstm.0": 64, "head": 1}
CHUNK, CONTEXT = 512, 64  # samples of a timestep, and of the one before that it sees again
RATE = 16_000
NOISE_LEVELS = (20, 10, 5, 0)  # signal-to-noise ratios in dB
CALIBRATION, TEST = 40, 60  # sentences
REACH = 0.998


class Encoder(nn.Module):
    """From samples (frames, 576) to the LSTM's input (frames, 128); in float."""

    def __init__(self) -> None:
        super().__init__()
        self.stft_conv = nn.Conv1d(1, 258, 256, stride=128, bias=False)
        self.conv1 = nn.Conv1d(129, 128, 3, padding=1)
        self.conv2 = nn.Conv1d(128, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv1d(64, 64, 3, stride=2, padding=1)
        self.conv4 = nn.Conv1d(64, 128, 3, padding=1)

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        x = functional.pad(samples, (0, 64), "reflect")
        real, imaginary = self.stft_conv(x[:, None]).split(129, dim=1)
        x = (real**2 + imaginary**2).sqrt()
        for convolution in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = functional.relu(convolution(x))
        return x[:, :, 0]


class Detector(nn.Module):
    """From the encoder's output (batch, time, 128) to speech probabilities (batch, time, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.head = nn.Linear(128, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, _ = self.lstm(x)
        return torch.sigmoid(self.head(torch.relu(h)))


def load() -> tuple[Encoder, Detector]:
    """Both parts with their authors' weights."""
    found = safetensors.torch.load_file(silero_weights())
    encoder, detector = Encoder(), Detector()
    encoder.load_state_dict({name: found[name] for name in encoder.state_dict()})
    lstm = {name: found[f"lstm_cell.{name.removesuffix('_l0')}"] for name in _names(detector.lstm)}
    detector.lstm.load_state_dict(lstm)
    detector.head.load_state_dict(
        {"weight": found["final_conv.weight"][:, :, 0], "bias": found["final_conv.bias"]}
    )
    return encoder.eval(), detector.eval()


def _names(module: nn.Module) -> list[str]:
    return list(module.state_dict())


def recordings(sentences: list[np.ndarray], seed: int) -> Iterator[np.ndarray]:
    """Each sentence between two pauses, in pink noise of a random level; float32 (samples,)."""
    rng = np.random.default_rng(seed)
    for sentence in sentences:
        before, after = rng.integers(RATE // 2, 3 * RATE, size=2)
        clean = np.concatenate([np.zeros(before), sentence, np.zeros(after)])
        noise = _pink(rng, len(clean))
        ratio = 10 ** (rng.choice(NOISE_LEVELS) / 20)
        noise *= np.sqrt(np.mean(sentence**2) / np.mean(noise**2)) / ratio
        mixed = clean + noise
        yield (mixed / max(1.0, np.abs(mixed).max())).astype(np.float32)


def _pink(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Noise whose power falls with the frequency, from 20 Hz on."""
    spectrum = np.fft.rfft(rng.normal(size=samples))
    frequency = np.fft.rfftfreq(samples, 1 / RATE)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 20.0)), samples)


@torch.no_grad()
def encode(encoder: Encoder, recording: np.ndarray) -> np.ndarray:
    """A recording's timesteps (time, 128), 32 ms each."""
    padded = np.pad(recording, (CONTEXT, -len(recording) % CHUNK))
    frames = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + CHUNK)[::CHUNK]
    found: np.ndarray = encoder(torch.from_numpy(frames.copy())).numpy()
    return found


def features() -> tuple[Detector, list[np.ndarray], list[np.ndarray]]:
    """The detector, and timesteps (time, 128) of recordings to calibrate on and to test with.

    Raises
    ------
    DeltaloomError
        If speech or weights are not there.
    """
    encoder, detector = load()
    speech = russian_speech()
    chosen = np.random.default_rng(0).permutation(len(speech))[: CALIBRATION + TEST]
    found = [
        encode(encoder, recording)
        for recording in recordings([speech[place] for place in chosen], seed=1)
    ]
    return detector, found[:CALIBRATION], found[CALIBRATION:]


@torch.no_grad()
def run(progress: Progress) -> dict[str, Any]:
    """Every step; the figures."""
    progress.say("Encoding recordings")
    detector, calibration, test = features()
    progress.say("Quantizing to 8 bits")
    model = dl.quantize(detector, calibration, dl.Recipe(skip="zero"))
    design = dl.generate(model, "ulx3s_85f", LANES)
    frames = sum(map(len, test))
    progress.say(f"Simulating {frames} frames that were not calibrated on")
    simulated = design.simulate(test, progress=progress.say)
    wanted = np.concatenate([detector(torch.from_numpy(x)[None])[0].numpy() for x in test])
    got = np.concatenate(simulated.outputs)
    return {
        "frames": frames,
        "speech_float": float(np.mean(wanted > 0.5)),
        "speech_hardware": float(np.mean(got > 0.5)),
        "equal_decisions": float(np.mean((wanted > 0.5) == (got > 0.5))),
        "largest_difference": float(np.abs(wanted - got).max()),
        "mean_difference": float(np.abs(wanted - got).mean()),
        "simulator": simulated.simulator,
        "cycles_per_frame": simulated.total_cycles / frames,
        "utilization": simulated.utilization,
        "skipped": simulated.skipped,
    }


def table(found: dict[str, Any]) -> Any:
    """The figures for people."""
    return facts(
        f"Silero's voice detector, {found['frames']:,} frames of 32 ms, 8 bits",
        {
            "frames with speech, float": f"{found['speech_float']:.2%}",
            f"frames with speech, hardware in {found['simulator']}": (
                f"{found['speech_hardware']:.2%}"
            ),
            "equal decisions": f"{found['equal_decisions']:.2%}",
            "probability off by, mean and most": (
                f"{found['mean_difference']:.4f}, {found['largest_difference']:.3f}"
            ),
            "cycles a frame": found["cycles_per_frame"],
            "lane utilization": by_layer(found["utilization"]),
            "columns skipped": by_operand(found["skipped"]),
        },
    )


def main() -> int:
    try:
        with Progress() as progress:
            found = run(progress)
    except (dl.DeltaloomError, OSError) as error:
        return complain(error)[1]
    Console().print(table(found))
    if found["equal_decisions"] < REACH:
        print(
            f"deltaloom: Decisions agree in {found['equal_decisions']:.2%}, not {REACH:.1%}",
            file=sys.stderr,
        )
        return FAILED
    return DONE


if __name__ == "__main__":
    sys.exit(main())
