"""Which operations a TensorFlow graph may have: arithmetic on arrays, and nothing else.

A graph is a program. TensorFlow has operations that read and write files, call Python, open
connections and start threads, so a SavedModel from elsewhere is as trustworthy as a binary from
elsewhere. The list below names what is let through, by name: an operation that it does not know
is refused. Training looks before it imports, the service before it loads.

Protocol buffers are taken as they are and only read; TensorFlow is not imported here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from app.errors import ArtifactError

_ELEMENTWISE = """
Abs Acos Acosh Add AddN AddV2 Asin Asinh Atan Atan2 Atanh BiasAdd BiasAddV1 BitwiseAnd BitwiseOr
BitwiseXor Cast Ceil ClipByValue Complex ComplexAbs Conj Cos Cosh Digamma Div DivNoNan Elu Equal
Erf Erfc Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual Imag Inv Invert IsFinite IsInf
IsNan LeakyRelu LeftShift Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr Maximum
Minimum Mod Mul MulNoNan Neg NotEqual Pow Real RealDiv Reciprocal Relu Relu6 RightShift Rint Round
Rsqrt Select SelectV2 Selu Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Square SquaredDifference
Sub Tan Tanh TruncateDiv TruncateMod Xdivy Xlog1py Xlogy
"""
_REDUCTIONS = """
All Any ArgMax ArgMin Bincount Bucketize Cumprod Cumsum CumulativeLogsumexp DenseBincount
EuclideanNorm InTopK InTopKV2 L2Loss LogSoftmax Max Mean Min Prod SegmentMax SegmentMean SegmentMin
SegmentProd SegmentSum Softmax Sum TopK TopKV2 UniqueV2 UnsortedSegmentMax UnsortedSegmentMin
UnsortedSegmentProd UnsortedSegmentSum
"""
_NETWORKS = """
AvgPool AvgPool3D BatchMatMul BatchMatMulV2 BatchMatMulV3 BatchNormWithGlobalNormalization
BatchToSpace BatchToSpaceND Conv2D Conv3D Cross CropAndResize DepthToSpace
DepthwiseConv2dNative Conv2DBackpropInput DepthwiseConv2dNativeBackpropInput Dilation2D Einsum
ExtractImagePatches FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 LRN MatMul MatrixDiagPartV3
MatrixDiagV3 MatrixInverse MatrixSetDiagV3 MatrixTriangularSolve MaxPool MaxPool3D MaxPoolV2
MaxPoolWithArgmax NonMaxSuppressionV3 SpaceToBatch SpaceToBatchND SpaceToDepth TensorListStack
"""
_IMAGES = """
AdjustContrastv2 AdjustHue AdjustSaturation HSVToRGB RGBToHSV ResizeArea ResizeBicubic
ResizeBilinear ResizeNearestNeighbor ScaleAndTranslate ImageProjectiveTransformV2
ImageProjectiveTransformV3
"""
_QUANTISATION = """
Dequantize FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel
QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4
"""
_SHAPES = """
BroadcastArgs BroadcastTo Concat ConcatOffset ConcatV2 Const DiagPart DynamicPartition DynamicStitch
ParallelDynamicStitch EnsureShape ExpandDims Fill Gather GatherNd GatherV2 Identity IdentityN
InvertPermutation LinSpace MatrixBandPart MirrorPad NoOp OneHot OnesLike Pack Pad PadV2 Placeholder
PlaceholderWithDefault PreventGradient Range Rank Reshape Reverse ReverseSequence ReverseV2 Roll
ScatterNd Shape ShapeN Size Slice Snapshot Split SplitV Squeeze StopGradient StridedSlice
TensorScatterAdd TensorScatterUpdate Tile Transpose Unpack Where ZerosLike
"""
_CONTROL = """
Case If PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile
While Enter Exit LoopCond Merge NextIteration Switch
"""

PURE_OPERATIONS = frozenset(
    " ".join(
        (_ELEMENTWISE, _REDUCTIONS, _NETWORKS, _IMAGES, _QUANTISATION, _SHAPES, _CONTROL)
    ).split()
)
"""What a served graph may be made of. Calls and branches are in it because the functions that they
name are looked at as well."""

VARIABLE_OPERATIONS = frozenset({"VarHandleOp", "ReadVariableOp", "ResourceGather"})
"""Reading weights: in a SavedModel before its weights become constants, never in a served one."""


def refuse_impure(graph: Any, *, roots: Iterable[str], more: Collection[str] = ()) -> None:
    """Refuse a graph that can do more than compute its outputs.

    Every node is looked at that the outputs depend on, and every node of every function that such
    a node names. What cannot be reached is never executed: a SavedModel always carries functions
    that save it, for example.

    Args:
        graph: ``GraphDef``.
        roots: Names of the nodes that are asked for.
        more: Operations that are let through beside ``PURE_OPERATIONS``.

    Raises:
        ArtifactError: Names the first operation, in alphabetical order, that is not let through.
    """
    functions = {function.signature.name: function for function in graph.library.function}
    refused: set[str] = set()
    pending = list(_needed(graph.node, roots))
    seen: set[str] = set()
    while pending:
        node = pending.pop()
        # A function can be called by its name, as if it were an operation.
        if node.op not in functions and node.op not in PURE_OPERATIONS and node.op not in more:
            refused.add(node.op)
        for name in {*_named_functions(node), node.op} & functions.keys():
            if name not in seen:
                seen.add(name)
                pending += functions[name].node_def
    if refused:
        first, *others = sorted(refused)
        raise ArtifactError(
            f"the graph holds the operation {first}"
            + (f" (and {', '.join(others)})" if others else "")
            + ", which is not on the list of pure array operations: it might read files, call "
            "other programs or keep state. Take it out of what is exported"
        )


def _needed(nodes: Iterable[Any], roots: Iterable[str]) -> Iterator[Any]:
    """Yield the nodes that ``roots`` depend on, themselves included."""
    by_name = {node.name: node for node in nodes}
    pending = list(roots)
    seen: set[str] = set()
    while pending:
        name = pending.pop().removeprefix("^").partition(":")[0]
        if name in seen:
            continue
        seen.add(name)
        node = by_name.get(name)
        if node is None:
            raise ArtifactError(f"the graph has no node {name!r}, which its outputs need")
        yield node
        pending += node.input


def _named_functions(node: Any) -> Iterator[str]:
    for attribute in node.attr.values():
        if attribute.HasField("func"):
            yield attribute.func.name
        for function in attribute.list.func:
            yield function.name
