# amaranth: UnusedElaboratable=no

import pytest

from deltaloom.compiler.fixed import Format
from deltaloom.compiler.target import GENERIC
from deltaloom.hw.queue import Queue
from deltaloom.hw.stream_layout import marked_layout


@pytest.mark.parametrize("stall", [0.0, 0.5])
@pytest.mark.parametrize("depth", [1, 5])
def test_a_queue_keeps_the_order(streams, vectors, depth, stall):
    beats = vectors((3, 1, 4), 4)
    dut = Queue(marked_layout(Format(6, 0)), depth, GENERIC)
    assert streams(dut, [(dut.i, beats)], [dut.o], stall=stall) == [beats]
