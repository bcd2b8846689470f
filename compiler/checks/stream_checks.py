"""The rules that the stream layers of every integer network keep."""

from ..integer_network import IntegerNetwork
from ..stream_inference import infer_input_format
from ..streams import Embedding, Reverse, StreamLayer, Window
from ..wiring import INPUT, MEMORY
from .rules import require

__all__ = ["check_streams"]

MAX_BUFFER = 1 << 24


def check_streams(network: IntegerNetwork) -> None:
    """Raise ``ValueError`` unless the stream layers keep all rules but those of their formats."""
    for root, given in ((INPUT, network.given_format), (MEMORY, network.given_memory)):
        known = root in network.inputs and infer_input_format(network.layers, root) is None
        require(
            given is None or known,
            "Network must not have a given format where a layer asks for another one",
        )
    for layer in network.layers:
        if isinstance(layer, StreamLayer):
            check_buffer(layer, network.sizes[network.sources[layer.name][0]])
    for taken in network.inputs.values():
        longest = taken.max_steps
        require(
            longest is None or longest >= taken.min_steps,
            f"Network must take sequences of {taken.min_steps} timesteps, the fewest that its "
            f"windows need, where its layers have room for no more than {longest}",
        )


def check_buffer(layer: StreamLayer, size: int) -> None:
    """What a layer that takes vectors of a size has to remember."""
    match layer:
        case Reverse():
            vectors, what = layer.max_steps, f"{layer.max_steps} timesteps of {size}"
        case Window():
            vectors, what = layer.held, f"{layer.held} timesteps of {size}"
        case Embedding():
            vectors, size = layer.table.shape
            what = f"{vectors} rows of {size}"
        case _:
            return
    require(
        vectors * size <= MAX_BUFFER,
        f"Layer {layer.name} must hold at most {MAX_BUFFER} elements, not {what}",
    )
