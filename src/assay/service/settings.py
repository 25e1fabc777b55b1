"""Settings of ``assay serve``: each with its range; the same values as flags, and in the docs."""

from __future__ import annotations

from dataclasses import dataclass

from assay.config import Config, option


@dataclass(frozen=True)
class ServeConfig(Config):
    """Where the service listens, what it takes, and how much it does at once."""

    host: str = option("127.0.0.1", "address to listen at; 0.0.0.0 for all", group="serve")
    port: int = option(8000, "port to listen at; 0: any free one", low=0, high=65535, group="serve")
    database: str | None = option(
        None,
        "postgresql://user:password@host/name; when not given, that of the environment variable ASSAY_DATABASE, "
        "else SQLite in the folder",
        group="serve",
    )
    objects: str | None = option(
        None,
        "where photos lie: s3://bucket/prefix, or a folder; when not given, in the folder",
        group="serve",
    )
    decoders: int = option(0, "processes that decode photos; 0: one a core", low=0, high=64, group="serve")
    answerers: int = option(
        0,
        "processes that compute the networks, each on one core; 0: one a core",
        low=0,
        high=64,
        group="serve",
    )
    engine: str = option("onnxruntime", "what computes the networks", group="serve")
    precision: str = option("fp32", "fp32, bf16 or int8: what the thresholds were found in", group="serve")
    max_mib: float = option(16.0, "largest photo", low=0.01, high=64, unit="MiB", group="serve")
    receive_s: float = option(
        15.0, "most time for an upload to arrive", low=0.1, high=600, unit="s", group="serve"
    )
    connections: int = option(
        1000,
        "connections that may be open at once; further ones are refused (503)",
        low=8,
        high=100_000,
        group="serve",
    )
    max_wait_s: float = option(
        4.0, "photos that would wait longer for the machine are refused at once (429)", low=0.1, high=3600, unit="s",
        group="serve",
    )  # fmt: skip
    per_minute: int = option(
        0,
        "most requests of one key, where the key has no quota of its own; 0: no bound",
        low=0,
        group="serve",
    )
    double: float = option(
        0.05, "share of reviews that a second person does too", low=0.0, high=1.0, group="serve"
    )
    keep_days: float = option(
        0.0, "photos are erased after so many days; 0: never", low=0.0, high=36500, unit="d", group="serve"
    )
    shadow: str | None = option(
        None, "a candidate policy that decides beside the live one, without effect", group="serve"
    )
    webhooks_http: bool = option(
        False, "also send webhooks to http:// addresses and private networks", group="serve"
    )
    open_door: bool = option(
        True, "print a link that signs in to the pages, when listening on this machine alone", group="serve"
    )
