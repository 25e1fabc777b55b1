"""LitServe with the same network: raw bytes in, its own workers decode, batch and answer.

LitServe reads the annotations below as they stand, so they are not put off (no ``from __future__ import annotations``).

    ASSAY_BENCH_SERVER='{...}' .venvs/peers/bin/python -m benchmarks.peers.serve_litserve
"""

from typing import Annotated, Any

import litserve
import numpy as np
from fastapi import Body
from numpy.typing import NDArray

from benchmarks.peers.served_network import Network, settings


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        del device
        self.network = Network(settings())

    # The body as it is, without a form around it: FastAPI gives the bytes of what is no JSON.
    def decode_request(self, request: Annotated[bytes, Body(media_type="image/jpeg")]) -> NDArray[np.float32]:
        return self.network.pixels(request)

    def batch(self, inputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.stack(inputs)

    def predict(self, x: NDArray[np.float32]) -> list[dict[str, Any]]:
        return self.network.answer(x if x.ndim == 4 else x[None])

    def unbatch(self, output: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return output

    def encode_response(self, output: Any):  # without a return type, which would be checked for each answer
        return output[0] if isinstance(output, list) else output


def main() -> None:
    told = settings()
    api = Api(max_batch_size=told["batch"], batch_timeout=told["batch_timeout"], api_path="/predict")
    server = litserve.LitServer(
        api, accelerator="cpu", devices=1, workers_per_device=told["workers"], fast_queue=told["fast_queue"]
    )
    server.run(
        host="127.0.0.1", port=told["port"], num_api_servers=1, generate_client_file=False,
        log_level="warning", access_log=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
