"""Every engine of the table: numpy's answers, any batch, several threads, nothing that reaches outside."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from assay.bundle import load_bundle
from assay.errors import BundleError, ConfigError, ModelError
from assay.runtime.engines.graph import check_graph
from assay.tables import ENGINES


@pytest.fixture(params=sorted(ENGINES))
def build(request):
    found = ENGINES.load(request.param)
    if (why := found.missing()) is not None:
        assert request.param == "onnxruntime-cuda", f"{request.param} is part of `make setup`: {why}"
        pytest.skip(f"{request.param}: {why}")
    return found


@pytest.fixture
def graph(tiny_bundle):
    return load_bundle(tiny_bundle).member("network.onnx")


@pytest.fixture
def engine(build, graph):
    return build(graph, threads=1)


def pictures(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 3, 32, 32)).astype(np.float32)


def expected(graph, x):
    weight = numpy_helper.to_array(onnx.load_from_string(graph).graph.initializer[0])
    return x.mean((2, 3)) @ weight


def changed(graph, change) -> bytes:
    proto = onnx.load_from_string(graph)
    change(proto)
    return proto.SerializeToString()


@pytest.mark.parametrize("n", [1, 2, 7, 33])
def test_answers_of_any_batch(engine, graph, n):
    x = pictures(n)
    logits = engine(x)
    assert logits.shape == (n, 3)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected(graph, x), atol=1e-5)
    np.testing.assert_allclose(engine.embed(x), x.mean((2, 3)), atol=1e-6)


def test_both_ends_in_one_pass(engine):
    x = pictures(5)
    logits, embedding = engine.outputs(x)
    np.testing.assert_array_equal(logits, engine(x))
    np.testing.assert_array_equal(embedding, engine.embed(x))


@pytest.fixture
def scene_graph(graph):
    """The same network as one of two heads: the class and its embedding."""

    def rename(proto):
        proto.graph.node[2].output[0] = proto.graph.output[0].name = "class_logits"

    return changed(graph, rename)


def test_outputs_of_several_heads_by_name(build, graph, scene_graph):
    engine, x = build(scene_graph, threads=1), pictures(5)
    found = engine.scene(x)
    assert {name: value.shape for name, value in found.items()} == {
        "class_logits": (5, 3),
        "embedding": (5, 3),
    }
    assert engine.ends == {"class_logits": (3,), "embedding": (3,)}
    np.testing.assert_allclose(found["class_logits"], expected(graph, x), atol=1e-5)
    np.testing.assert_array_equal(engine.embed(x), found["embedding"])


def test_what_a_network_does_not_give_is_told(build, scene_graph):
    engine = build(scene_graph, threads=1)
    for ask in (engine, engine.outputs):
        with pytest.raises(ModelError, match="this network gives no logits") as told:
            ask(pictures(1))
        assert told.value.got == "it gives class_logits, embedding"


def test_a_classifier_gives_its_ends_by_name_too(engine):
    x = pictures(2)
    np.testing.assert_array_equal(engine.scene(x)["logits"], engine(x))


def test_threads_change_nothing(build, graph):
    x = pictures(5)
    np.testing.assert_allclose(build(graph, threads=1)(x), build(graph)(x), atol=1e-6)


def test_it_may_be_called_from_several_threads(engine):
    batches = [pictures(3, seed) for seed in range(20)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(engine, batches))
    for batch, logits in zip(batches, found, strict=True):
        np.testing.assert_array_equal(logits, engine(batch))


def test_views_and_other_types_are_taken(engine):
    x = pictures(4)
    np.testing.assert_array_equal(engine(x[::2]), engine(x[::2].copy()))
    np.testing.assert_array_equal(engine(x.astype(np.float64)), engine(x))


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 1, 32, 32), (1, 3, 32, 31), (1, 3, 64, 64)])
def test_wrong_shapes_are_told(engine, shape):
    with pytest.raises(ModelError, match="cannot take these pictures") as told:
        engine(np.zeros(shape, np.float32))
    assert str(shape) in told.value.got
    assert "(B, 3, 32, 32) float32" in told.value.fix


def test_threads_below_one_are_told(build, graph):
    with pytest.raises(ConfigError, match="threads is 0"):
        build(graph, threads=0)


@pytest.mark.parametrize("data", [b"\x0a\xff", b"\x07garbage", b"not a graph at all", b"\xff" * 64])
def test_a_damaged_graph_is_told(build, data):
    with pytest.raises(BundleError):
        build(data)


def test_an_empty_graph_is_told(build):
    with pytest.raises(BundleError, match="the network cannot be loaded"):
        build(b"")


def test_a_shorter_graph_is_told(build, graph):
    for length in range(1, len(graph), 7):
        with pytest.raises(BundleError):
            build(graph[:length])


def test_a_graph_with_other_ends_is_told(build, graph):
    def rename(proto):
        proto.graph.node[2].output[0] = proto.graph.output[0].name = "scores"

    def fix_batch(proto):
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2

    for change in (rename, fix_batch):
        with pytest.raises(BundleError, match="not one that Assay exports"):
            build(changed(graph, change))


def external(proto):
    weight = proto.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="/etc/passwd")
    weight.ClearField("raw_data")


def location_alone(proto):
    proto.graph.initializer[0].data_location = TensorProto.EXTERNAL


def entry_alone(proto):
    proto.graph.initializer[0].external_data.add(key="location", value="weights.bin")


def external_constant(proto):
    tensor = TensorProto(name="c", data_type=1, dims=[1], data_location=TensorProto.EXTERNAL)
    proto.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def external_in_branch(proto):
    inner = onnx.GraphProto(name="then")
    inner.initializer.add(name="c", data_type=1, data_location=TensorProto.EXTERNAL)
    proto.graph.node.append(helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner))


def external_in_function(proto):
    node = helper.make_node("Constant", [], ["c"], value=TensorProto(data_type=1, data_location=1))
    proto.functions.append(helper.make_function("", "F", [], ["c"], [node], proto.opset_import))


def external_sparse(proto):
    sparse = proto.graph.sparse_initializer.add()
    sparse.values.data_location = TensorProto.EXTERNAL


@pytest.mark.parametrize(
    "change",
    [
        external,
        location_alone,
        entry_alone,
        external_constant,
        external_in_branch,
        external_in_function,
        external_sparse,
    ],
)
def test_weights_in_another_file_are_refused(build, graph, change):
    with pytest.raises(BundleError, match="keeps weights in another file") as told:
        build(changed(graph, change))
    assert told.value.got == "external data"


def foreign_node(proto):
    proto.graph.node[0].domain = "evil.ops"


def foreign_operators(proto):
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def foreign_function(proto):
    proto.functions.append(helper.make_function("local", "F", [], [], [], proto.opset_import))


@pytest.mark.parametrize("change", [foreign_node, foreign_operators, foreign_function])
def test_foreign_operators_are_refused(build, graph, change):
    with pytest.raises(BundleError, match="not ONNX's own") as told:
        build(changed(graph, change))
    assert "domain" in told.value.got


def test_training_information_is_refused(build, graph):
    with pytest.raises(BundleError, match="holds training information"):
        build(changed(graph, lambda proto: proto.training_info.add()))


def test_what_is_harmless_passes(graph):
    def note(proto):
        proto.doc_string = "made by hand"
        proto.metadata_props.add(key="author", value="evil.ops")
        proto.graph.initializer[0].data_location = TensorProto.DEFAULT
        proto.graph.node[0].domain = "ai.onnx"

    check_graph(changed(graph, note))


def test_engines_close_what_they_open(build, graph):
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112
        pytest.skip("needs /proc")

    def opened():
        return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))  # noqa: PTH208

    build(graph, threads=2)(pictures(1))
    before = opened()
    for _ in range(20):
        build(graph, threads=2)(pictures(1))
    assert opened() <= before
