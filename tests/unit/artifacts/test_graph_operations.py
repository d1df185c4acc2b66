"""Which graphs are let through; written as the protocol buffers that TensorFlow reads."""

from __future__ import annotations

from types import SimpleNamespace as Record
from typing import Any

import pytest

from app.artifacts.graph_operations import VARIABLE_OPERATIONS, refuse_impure
from app.errors import ArtifactError


class Attribute:
    """One attribute of a node: names of functions, alone or in a list."""

    def __init__(self, *functions: str, listed: bool = False) -> None:
        names = [Record(name=name) for name in functions]
        self.func = None if listed else names[0]
        self.list = Record(func=names if listed else [])

    def HasField(self, name: str) -> bool:
        return getattr(self, name) is not None


def node(name: str, op: str, *inputs: str, **attributes: Attribute) -> Any:
    return Record(name=name, op=op, input=list(inputs), attr=attributes)


def graph(*nodes: Any, **functions: list[Any]) -> Any:
    library = [
        Record(signature=Record(name=name), node_def=body) for name, body in functions.items()
    ]
    return Record(node=list(nodes), library=Record(function=library))


IMAGE = node("image", "Placeholder")


def test_arithmetic_is_let_through() -> None:
    refuse_impure(
        graph(IMAGE, node("relu", "Relu", "image:0"), node("scores", "Softmax", "^image", "relu")),
        roots=["scores:0"],
    )


@pytest.mark.parametrize(
    ("nodes", "functions", "refused"),
    [
        ([node("scores", "ReadFile", "image")], {}, "ReadFile"),
        ([node("scores", "Relu", "image", "^file"), node("file", "WriteFile")], {}, "WriteFile"),
        (
            [node("scores", "PartitionedCall", "image", f=Attribute("body"))],
            {"body": [node("x", "PyFunc")]},
            "PyFunc",
        ),
        (
            [node("scores", "Case", "image", branches=Attribute("a", "b", listed=True))],
            {
                "a": [],
                "b": [node("x", "If", then_branch=Attribute("c"))],
                "c": [node("y", "Print")],
            },
            "Print",
        ),
        ([node("scores", "body", "image")], {"body": [node("x", "EagerPyFunc")]}, "EagerPyFunc"),
        ([node("scores", "MyOwnOp", "image")], {}, "MyOwnOp"),
    ],
    ids=[
        "as the output",
        "as a side effect",
        "in a function",
        "in a branch of a branch",
        "in a function called by its name",
        "operation that nobody knows",
    ],
)
def test_anything_else_is_refused_by_name(
    nodes: list[Any], functions: dict[str, list[Any]], refused: str
) -> None:
    with pytest.raises(ArtifactError, match=f"holds the operation {refused}, which is not on"):
        refuse_impure(graph(IMAGE, *nodes, **functions), roots=["scores:0"])


def test_all_that_is_refused_is_named() -> None:
    nodes = [node("scores", "WriteFile", "image"), node("image", "ReadFile")]

    with pytest.raises(ArtifactError, match=r"operation ReadFile \(and WriteFile\)"):
        refuse_impure(graph(*nodes), roots=["scores"])


def test_what_the_output_does_not_need_is_not_looked_at() -> None:
    saver = node("save", "SaveV2", "image")

    refuse_impure(graph(IMAGE, saver, node("scores", "Softmax", "image")), roots=["scores:0"])


def test_variables_are_let_through_only_on_request() -> None:
    reading = graph(node("scores", "ReadVariableOp", "weights"), node("weights", "VarHandleOp"))

    refuse_impure(reading, roots=["scores"], more=VARIABLE_OPERATIONS)
    with pytest.raises(ArtifactError, match="ReadVariableOp"):
        refuse_impure(reading, roots=["scores"])


def test_graph_that_lacks_a_node_is_refused() -> None:
    with pytest.raises(ArtifactError, match="has no node 'image', which its outputs need"):
        refuse_impure(graph(node("scores", "Softmax", "image")), roots=["scores"])


def test_functions_that_call_each_other_end() -> None:
    calls = [node("x", "PartitionedCall", f=Attribute("b"))]
    back = [node("y", "PartitionedCall", f=Attribute("a"))]

    refuse_impure(graph(node("scores", "a"), a=calls, b=back), roots=["scores"])
