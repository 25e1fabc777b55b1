"""OpenVINO's own format: an .xml with the graph and a .bin with the weights, read back and run before it is written."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from assay.errors import ExportError
from assay.export.plain import Plain, Written
from assay.runtime.engines.engine import INPUT, first_line
from assay.runtime.engines.openvino import import_openvino

if TYPE_CHECKING:
    from numpy.typing import NDArray


def write_openvino(asked: Plain) -> Written:
    """The two files.

    Raises
    ------
    ConfigError : OpenVINO is not installed. ExportError : it cannot read the graph.
    """
    openvino = import_openvino()
    core = openvino.Core()
    try:
        model = core.read_model(asked.graph)
        # as OpenVINO's own Model API reads them: separated by spaces
        names = [name.replace(" ", "_") for name in asked.card.classes or asked.card.object_classes]
        model.set_rt_info(" ".join(names), ["model_info", "labels"])
        with TemporaryDirectory(prefix="assay-openvino-") as folder:
            place = Path(folder) / "network.xml"
            openvino.save_model(model, place, compress_to_fp16=asked.half)
            xml, weights = place.read_bytes(), place.with_suffix(".bin").read_bytes()
    except Exception as error:  # the library raises RuntimeError and its kin
        raise ExportError("OpenVINO cannot take this network", got=first_line(error)) from error
    files = {asked.out: xml, asked.out.with_suffix(".bin"): weights}
    return Written(files, lambda x: _run(core, xml, weights, x))


def _run(core: Any, xml: bytes, weights: bytes, x: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    """The files as they will be read, in fp32."""
    compiled = core.compile_model(
        core.read_model(xml, weights), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}
    )
    request = compiled.create_infer_request()
    request.infer({INPUT: x})
    return {end.get_any_name(): np.array(request.get_tensor(end).data) for end in compiled.outputs}
