from dataclasses import replace

import pytest

from deltaloom.compiler.cell import trace
from deltaloom.compiler.cells import GRU, LSTM
from deltaloom.compiler.fixed import Format
from deltaloom.compiler.graph import Add, Affine, Graph, Input, Mul, Path, State

X = Input(name="x", size=3)
H = State(name="h", size=2)
N = Affine(name="n", size=2, paths=(Path(name="x", operand=0), Path(name="h", operand=1)))
SOUND = Graph((X, H, N), next_states=(2,), output=2)


def test_questions():
    graph = trace(LSTM(2, 3))
    assert graph.input == (0, graph.nodes[0])
    assert [node.name for _, node in graph.of(State)] == ["h", "c"]
    c = next(p for p, node in graph.of(State) if node.name == "c")
    assert isinstance(graph.nodes[graph.next_of(c)], Add)
    (reader,) = graph.readers(c)
    assert isinstance(graph.nodes[reader], Mul)
    assert graph.next_of(1) == graph.output


def test_names_of_weights():
    graph = trace(GRU(2, 3))
    keys = [affine.key(path) for _, affine in graph.of(Affine) for path in affine.paths]
    assert keys == ["r.x", "r.h", "z.x", "z.h", "n_x.x", "n_h.h"]


def test_positions_are_renamed():
    moved = SOUND.with_positions({0: 5, 1: 7}, N)
    assert moved.operands == (5, 7)
    both = Add(name="s", size=2, a=0, b=1)
    assert SOUND.with_positions({0: 3, 1: 4}, both).operands == (3, 4)


@pytest.mark.parametrize(
    ("graph", "complaint"),
    [
        (Graph((X, H, replace(N, name="x")), (2,), 2), "node names repeat"),
        (Graph((H, replace(N, paths=(Path(name="h", operand=0),))), (1,), 1), "has one input"),
        (Graph((X, H, N), (), 2), "every state has a next value"),
        (Graph((X, replace(H, size=4), N), (2,), 2), "h changes its size"),
        (Graph((X, H, replace(N, paths=())), (2,), 2), "n has no path"),
        (Graph((X, H, N, Add(name="s", size=2, a=2, b=0)), (2,), 3), "s mixes sizes"),
        (Graph((X, H, N, Add(name="s", size=2, a=2, b=3)), (2,), 3), "s"),
        (Graph((X, replace(H, format=Format(8, 0)), N), (2,), 2), "h changes its format"),
        (
            Graph((X, replace(H, format=Format(8, 0)), replace(N, format=Format(8, 0))), (2,), 2),
            "either all nodes have a format or none",
        ),
    ],
)
def test_check_finds_what_is_wrong(graph, complaint):
    SOUND.check()
    with pytest.raises(AssertionError, match=complaint):
        graph.check()
