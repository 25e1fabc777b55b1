"""A plain server, as many people write it: FastAPI reads the body, threads decode and answer, JSON goes back.

ASSAY_BENCH_SERVER='{...}' .venvs/peers/bin/python -m benchmarks.peers.serve_fastapi
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from benchmarks.peers.served_network import Network, settings

TOLD = settings()
network = Network(TOLD)
pool = ThreadPoolExecutor(TOLD["pool"])
app = FastAPI()


def answer(data: bytes) -> dict[str, Any]:
    return network.answer(network.pixels(data)[None])[0]


@app.put("/")
async def put(request: Request) -> dict[str, Any]:
    data = await request.body()
    return await asyncio.get_running_loop().run_in_executor(pool, answer, data)


if __name__ == "__main__":
    uvicorn.run(
        "benchmarks.peers.serve_fastapi:app", host="127.0.0.1", port=TOLD["port"], workers=TOLD["processes"],
        log_level="warning", access_log=False,
    )  # fmt: skip
