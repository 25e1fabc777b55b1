"""A program of torch.export (.pt2), for those who go on with torch: AOTInductor, ExecuTorch, or torch itself.

Written only: reading such a file may run code of whoever made it (torch's own warning), so Assay never does. What is
checked is the program in memory that the bytes were made from.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch

from assay.errors import ExportError
from assay.export.onnx import one_reason, silence
from assay.export.plain import Plain, Written

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def write_torch_program(asked: Plain) -> Written:
    """The file. Raises ExportError: torch cannot trace the network."""
    side, channels = asked.card.preprocess.size, asked.card.channels
    example = torch.zeros(asked.batch or 2, channels, side, side)
    shapes = None if asked.batch is not None else ({0: torch.export.Dim("batch", min=1)},)
    held = io.BytesIO()
    try:
        with silence(io.StringIO()), torch.no_grad():
            program = torch.export.export(asked.network.module, (example,), dynamic_shapes=shapes)
            torch.export.save(program, held)
    except Exception as error:  # torch raises all kinds, with pages of text
        raise ExportError("the network cannot be exported by torch", got=one_reason(error)) from error
    module = program.module()

    def answer(x: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        with torch.no_grad():
            found = module(torch.from_numpy(x))
        return {name: value.numpy() for name, value in zip(asked.network.names, found, strict=True)}

    return Written({asked.out: held.getvalue()}, answer)
