"""``assay serve``: everything in one process and its workers; started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from assay.cores import usable_cores
from assay.errors import AssayError, ConfigError
from assay.image import ImageLimits
from assay.runtime.screen_parts import SERVICE_LIMITS
from assay.service.app import build_gated
from assay.service.chores import Chores
from assay.service.core import Service
from assay.service.foreman import Foreman
from assay.service.home import Home, home_of, open_home
from assay.service.library import Library
from assay.service.live import open_live
from assay.service.meters import Meters
from assay.service.objects import Objects, open_objects
from assay.service.protocol import LimitedProtocol
from assay.service.settings import ServeConfig
from assay.service.shadow import Shadow
from assay.service.store.database import Database
from assay.service.store.engine import DATABASE, open_engine
from assay.service.store.jobs import free_all
from assay.service.store.keys import MACHINE, SCOPES, Key, add_key, revoke_key
from assay.service.store.migrate import migrate
from assay.service.viewer import Viewer
from assay.service.workers.pool import Decoders

_LOG = logging.getLogger("assay.service")
LOCAL = ("127.0.0.1", "::1", "localhost")
_FILES = 512
"""Files that are open besides connections: pipes of workers, the database, photos on their way to the disk."""


@dataclass(frozen=True)
class Opened:
    """What is told once the server answers: its address, and a link that signs in once (empty where there is none)."""

    address: str
    link: str


def serve(policy: Path, config: ServeConfig, folder: Path | None, on_open: Callable[[Opened], None]) -> None:
    """Run until SIGTERM or Ctrl-C.

    Raises
    ------
    AssayError : the policy, a Bundle, the database or the folder is not as it must be, or the port is taken.
    """
    log_as_json()
    _allow_files(config.connections + _FILES)
    runner = asyncio.Runner(loop_factory=_fast_loop())
    with runner:
        runner.run(_serve(policy, config, folder, on_open))


def _allow_files(wanted: int) -> None:
    """Have the system let this process open as many files as it needs for its connections, as far as it may."""
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - there is none on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        except (OSError, ValueError):  # macOS has a limit of its own below the one that it tells
            most = soft
    if most < wanted:
        _LOG.warning("this process may open %d files; %d connections need %d", most, wanted - _FILES, wanted)


async def _serve(
    policy: Path, config: ServeConfig, folder: Path | None, on_open: Callable[[Opened], None]
) -> None:
    listening = _listen(config)
    try:
        async with running(policy, config, folder) as service:
            app, door = build_gated(service)
            server = _Server(_uvicorn(app, service))
            loop = asyncio.get_running_loop()
            for sign in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(sign, _ask_to_stop, service, server)
            loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(_reload(service)))
            host, port = listening.getsockname()[:2]
            address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            key = await _open_door(service, config)
            on_open(Opened(address, "" if key is None else f"{address}/open/{door.one_time(key.id)}"))
            try:
                await server.serve(sockets=[listening])
            finally:
                service.is_stopping = True
                if key is not None:
                    with contextlib.suppress(AssayError):
                        secret, at = service.home.key, time.time()
                        await service.database.write(lambda c: revoke_key(c, secret, at, MACHINE, key.id))
    finally:
        listening.close()


class _Server(uvicorn.Server):
    """uvicorn's, with signals left to us: it would raise them again before the work in hand is finished."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As ``uvicorn.Server``'s."""
        yield

    def ask_to_stop(self) -> None:
        """Stop taking requests; the second time, leave those that are open."""
        self.force_exit = self.should_exit
        self.should_exit = True


def _ask_to_stop(service: Service, server: _Server) -> None:
    """Not ready from now on; then no new connections."""
    service.is_stopping = True
    server.ask_to_stop()


@contextlib.asynccontextmanager
async def running(policy: Path, config: ServeConfig, folder: Path | None) -> AsyncIterator[Service]:
    """Everything but the web server: for ``serve`` and for tests."""
    cores = usable_cores()
    async with contextlib.AsyncExitStack() as stack:
        address = config.database or os.environ.get(DATABASE)
        home = open_home(folder or home_of(policy), lock=address is None)
        stack.callback(home.close)
        engine = open_engine(address, home.folder)
        await asyncio.to_thread(migrate, engine)
        database = Database(engine)
        stack.callback(database.close)
        objects = open_objects(config.objects, home.folder)
        meters = Meters()
        limits = ImageLimits(SERVICE_LIMITS.max_pixels, int(config.max_mib * 1024 * 1024))
        decoders = Decoders(config.decoders or cores, limits)
        stack.push_async_callback(decoders.stop)
        first, _ = await asyncio.gather(open_live(policy, config, cores, home.copies), decoders.start())
        library = Library()
        shadow = await _shadow(config, cores, home, database, objects, decoders, library)
        if shadow is not None:
            stack.push_async_callback(shadow.stop)
        foreman = Foreman(
            database=database, objects=objects, home=home, decoders=decoders, live=first, library=library,
            meters=meters, double=config.double, max_wait_s=config.max_wait_s, shadow=shadow,
        )  # fmt: skip
        service = Service(config, home, database, objects, foreman, Viewer(decoders), meters, cores=cores)
        stack.push_async_callback(_stop_live, service)
        library.open(first.policy)
        await service.take_up(first)
        if address is None:
            await database.write(free_all)
        await foreman.start(config.decoders or cores)
        stack.push_async_callback(foreman.stop)
        chores = Chores(service)
        await chores.learn()
        chores.start()
        stack.push_async_callback(chores.stop)
        yield service
        service.is_stopping = True


async def _shadow(
    config: ServeConfig, cores: int, home: Home, database: Database, objects: Objects, decoders: Decoders,
    library: Library,
) -> Shadow | None:  # fmt: skip
    """The candidate that decides beside the live policy, begun; None where none was named."""
    if config.shadow is None:
        return None
    live = await open_live(Path(config.shadow), config, cores, home.copies)
    library.open(live.policy)
    shadow = Shadow(live, database, objects, decoders, library)
    shadow.start()
    return shadow


async def _stop_live(service: Service) -> None:
    await service.live.answerers.stop()


def _uvicorn(app: Any, service: Service) -> uvicorn.Config:
    config, refused = service.config, service.meters.refused
    limits = {"head_s": config.receive_s, "most_open": config.connections}
    told = {"refused": staticmethod(lambda why: refused.labels(why).inc())}
    protocol = type("Protocol", (LimitedProtocol,), {**limits, **told})
    return uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", server_header=False, date_header=False,
        timeout_keep_alive=30, timeout_graceful_shutdown=10, http=protocol, ws="none", backlog=4096,
    )  # fmt: skip


def _fast_loop() -> Any:
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    return uvloop.new_event_loop


def _listen(config: ServeConfig) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        listening = socket.create_server((config.host, config.port), family=family, backlog=4096)
    except OSError as error:
        raise ConfigError(
            f"cannot listen at {config.host} port {config.port}",
            got=error.strerror or str(error),
            fix="stop what listens there, or choose another --port",
        ) from error
    listening.setblocking(False)
    return listening


async def _open_door(service: Service, config: ServeConfig) -> Key | None:
    """A key for the pages on this machine, for as long as the server runs."""
    if not config.open_door or config.host not in LOCAL:
        return None
    secret, at = service.home.key, time.time()
    made, _ = await service.database.write(lambda c: add_key(c, secret, at, MACHINE, MACHINE, SCOPES))
    return made


async def _reload(service: Service) -> None:
    try:
        live = await service.reload()
        _LOG.info("policy %s version %s took over", live.policy.name, live.policy.version)
    except AssayError as error:
        _LOG.error("the new policy was not taken up: %s", error)


def log_as_json() -> None:
    """One JSON object a line on stderr, for this process's own loggers."""

    class Lines(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            told = {
                "at": round(record.created, 3),
                "level": record.levelname.lower(),
                "says": record.getMessage(),
            }
            if record.exc_info:
                told["trace"] = self.formatException(record.exc_info)
            return json.dumps(told, ensure_ascii=False)

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    for name in ("assay", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO if name == "assay" else logging.WARNING)
