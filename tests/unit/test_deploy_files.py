"""The files of deploy/ were never run, so all that can be checked without an engine is: options, ports, names, pins."""

from __future__ import annotations

import configparser
import http.server
import json
import re
import shlex
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from assay.cli.command import build_parser, parse
from assay.cli.flags import read_config
from assay.service.meters import Meters
from assay.service.objects import open_objects
from assay.service.settings import ServeConfig
from assay.service.store.engine import DATABASE
from assay.tables import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
TEXTS = {path.name: path.read_text("utf-8") for path in DEPLOY.iterdir() if path.name[0] != "."}
DOCKERFILE = TEXTS["Dockerfile"]
COMPOSE = yaml.safe_load(TEXTS["compose.yaml"])
KUBERNETES = {
    (one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(TEXTS["kubernetes.yaml"])
}
POD = KUBERNETES["StatefulSet", "assay"]["spec"]["template"]["spec"]
CONTAINER = POD["containers"][0]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
STORE = {"AWS_ENDPOINT", "AWS_ALLOW_HTTP", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def unit() -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(TEXTS["assay.service"])
    return parser["Service"]


def from_docker(word: str) -> list[str]:
    return json.loads(re.findall(rf"^{word} (\[.*\])$", DOCKERFILE, re.MULTILINE)[-1])


def commands() -> dict[str, list[str]]:
    """Everywhere that a server is started: the words behind ``assay``."""
    systemd = shlex.split(unit()["ExecStart"].replace("%S", "/var/lib"))
    assert systemd[0].endswith("/bin/assay")
    return {
        "Dockerfile": from_docker("CMD"),
        "compose": COMPOSE["services"]["assay"]["command"],
        "kubernetes": CONTAINER["args"],
        "systemd": systemd[1:],
    }


def served(words: list[str]) -> tuple[Any, ServeConfig]:
    filled = [re.sub(r"\$\{\w+:\?[^}]*\}|\$\(\w+\)", "word", one) for one in words]
    assert filled[0] == "serve"
    args = parse(build_parser(COMMANDS.load("serve")), filled[1:])
    return args, read_config(args, ServeConfig)


@pytest.mark.parametrize("place", list(commands()))
def test_every_start_is_understood_and_at_the_same_port(place):
    args, config = served(commands()[place])
    assert config.port == 8000 == ServeConfig().port
    assert args.folder == "/var/lib/assay"
    assert Path(args.policy).name == "shop.yaml"
    assert config.host == ("127.0.0.1" if place == "systemd" else "0.0.0.0")


def test_ports_agree():
    assert re.search(r"^EXPOSE 8000$", DOCKERFILE, re.MULTILINE)
    assert COMPOSE["services"]["assay"]["ports"] == ["127.0.0.1:8000:8000"]
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": 8000}]
    assert KUBERNETES["Service", "assay"]["spec"]["ports"][0]["targetPort"] == "http"
    assert KUBERNETES["Service", "assay-each"]["spec"]["ports"][0]["port"] == 8000
    policy = KUBERNETES["NetworkPolicy", "assay"]["spec"]
    assert [one["port"] for one in policy["ingress"][0]["ports"]] == [8000]
    assert {one["port"] for rule in policy["egress"] for one in rule["ports"]} == {53, 443, 5432, 8333}
    targets = yaml.safe_load(TEXTS["prometheus.yml"])["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == ["assay:8000"]


def test_names_within_a_file_agree():
    asked = commands()["compose"]
    address = COMPOSE["services"]["assay"]["environment"]["ASSAY_DATABASE"]
    host = re.search(r"@([\w-]+):5432/assay", address)[1]
    assert host in COMPOSE["services"]
    endpoint = COMPOSE["services"]["assay"]["environment"]["AWS_ENDPOINT"]
    assert re.fullmatch(r"http://store:(\d+)", endpoint)[1] == "8333"
    assert "-s3.port=8333" in COMPOSE["services"]["store"]["command"]
    bucket = next(re.match(r"--objects=s3://(\w+)/", word)[1] for word in asked if "objects" in word)
    assert f"-name {bucket}" in COMPOSE["services"]["bucket"]["command"][0]
    identity = json.loads(COMPOSE["configs"]["store"]["content"])["identities"][0]
    assert identity["actions"] == [f"{can}:{bucket}" for can in ("Read", "Write", "List")]
    for service in COMPOSE["services"].values():
        assert set(service["networks"]) <= set(COMPOSE["networks"])
    labels = KUBERNETES["StatefulSet", "assay"]["spec"]["template"]["metadata"]["labels"]
    for kind, name in (("Service", "assay"), ("Service", "assay-each")):
        assert KUBERNETES[kind, name]["spec"]["selector"] == labels
    assert KUBERNETES["PodDisruptionBudget", "assay"]["spec"]["selector"]["matchLabels"] == labels
    assert KUBERNETES["NetworkPolicy", "assay"]["spec"]["podSelector"]["matchLabels"] == labels
    assert KUBERNETES["StatefulSet", "assay"]["spec"]["serviceName"] == "assay-each"
    mounted = {one["name"] for one in CONTAINER["volumeMounts"]}
    claimed = {
        one["metadata"]["name"] for one in KUBERNETES["StatefulSet", "assay"]["spec"]["volumeClaimTemplates"]
    }
    assert mounted == claimed | {one["name"] for one in POD["volumes"]}


def test_two_servers_share_their_keys_and_photos():
    from assay.service.home import Home

    keys = {one["mountPath"]: one for one in CONTAINER["volumeMounts"] if one["name"] == "keys"}
    assert set(keys) == {f"/var/lib/assay/{name}" for name in ("record.key", "session.key")}
    home = (ROOT / "src" / "assay" / "service" / "home.py").read_text("utf-8")
    assert all(f'folder / "{Path(path).name}"' in home for path in keys)
    assert Home(Path("/var/lib/assay"), b"", b"").anchors_path.name == "record.anchors"
    for place in ("compose", "kubernetes"):
        _, config = served(commands()[place])
        assert config.database is None
        assert config.objects == "s3://photos/assay"
    assert KUBERNETES["StatefulSet", "assay"]["spec"]["replicas"] == 2
    assert KUBERNETES["PodDisruptionBudget", "assay"]["spec"]["minAvailable"] == 1


def test_environment_is_known_to_somebody():
    source = "".join(path.read_text("utf-8") for path in (ROOT / "src" / "assay").rglob("*.py"))
    own = {name for line in re.findall(r"^ENV (.*)$", DOCKERFILE, re.MULTILINE)[1:] for name in
           re.findall(r"(\w+)=", line)}  # fmt: skip
    compose = COMPOSE["services"]["assay"]
    own |= set(compose["environment"]) | {unit()["Environment"].split("=")[0]}
    assert compose["environment"]["ASSAY_DATABASE"].startswith("postgresql://")
    own |= {one["name"] for one in CONTAINER["env"]}
    assert f'"{DATABASE}"' in source
    assert DATABASE in own
    known = STORE | {"FORWARDED_ALLOW_IPS", DATABASE, "PATH"}
    assert {name for name in own - known if not name.startswith("PYTHON")} == {"ASSAY_CACHE"}
    assert '"ASSAY_CACHE"' in source


def test_a_store_is_found_by_this_environment(monkeypatch, tmp_path):
    """As in compose.yaml: an address of our own, without TLS, and the bucket in the path."""
    asked: list[tuple[str, str, str]] = []

    class Store(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            asked.append((self.command, self.path, self.headers["authorization"]))
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        given = {**COMPOSE["services"]["assay"]["environment"], "AWS_ACCESS_KEY_ID": "us"}
        assert set(given) == STORE | {DATABASE}
        for name, value in {**given, "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}.items():
            monkeypatch.setenv(name, value)
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        open_objects(served(commands()["compose"])[1].objects, tmp_path).put("ab" * 32, b"photo")
        server.shutdown()
    ((verb, path, words),) = asked
    assert (verb, path) == ("PUT", f"/photos/assay/ab/{'ab' * 32}")
    assert words.startswith("AWS4-HMAC-SHA256 Credential=us/")
    assert "/us-east-1/s3/" in words


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_the_health_check_follows_readiness(status, code):
    words = json.loads(re.search(r"CMD (\[\"python\", \"-c\".*\])$", DOCKERFILE, re.MULTILINE)[1])
    paths = []

    class Ready(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        script = words[2].replace("8000", str(server.server_port))
        done = subprocess.run([sys.executable, words[1], script], check=False, timeout=20)
        server.shutdown()
    assert done.returncode == code
    assert paths == ["/v1/ready"]


def test_probes_ask_routes_that_exist_and_are_open():
    from assay.service.gate import _OPEN
    from assay.service.routes.health import router

    paths = {CONTAINER[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
    assert paths == {"/v1/live", "/v1/ready"}
    assert paths <= {route.path for route in router.routes} & set(_OPEN)
    # a database that is away is no reason to start anew
    assert CONTAINER["livenessProbe"]["httpGet"]["path"] == "/v1/live"


def test_a_graceful_stop_has_the_time_it_takes():
    from assay.service.foreman import _STOP_S

    takes = 10 + _STOP_S  # uvicorn's timeout_graceful_shutdown, then what is in work
    source = (ROOT / "src" / "assay" / "service" / "serve.py").read_text("utf-8")
    assert "timeout_graceful_shutdown=10" in source
    waits = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] >= waits + takes + 15
    assert int(COMPOSE["services"]["assay"]["stop_grace_period"].rstrip("s")) >= takes + 15
    assert int(unit()["TimeoutStopSec"]) >= takes + 15
    assert unit()["KillMode"] == "mixed"
    assert unit()["ExecReload"].endswith("-HUP $MAINPID")


def test_nothing_has_more_rights_than_it_needs():
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert POD["securityContext"]["runAsUser"] == 10001
    assert POD["securityContext"]["runAsNonRoot"]
    security = CONTAINER["securityContext"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    service = COMPOSE["services"]["assay"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert not [
        name for name in COMPOSE["services"] if name != "assay" and COMPOSE["services"][name].get("ports")
    ]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_images_are_pinned():
    images = {service["image"] for service in COMPOSE["services"].values()} | {CONTAINER["image"]}
    python = re.search(r"^ARG PYTHON=(\S+)$", DOCKERFILE, re.MULTILINE)[1]
    assert re.fullmatch(r"3\.11\.\d+-slim-bookworm", python)
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["python:${PYTHON}", "python:${PYTHON}"]
    assert f"assay:{VERSION}" in images
    for image in images:
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", image), f"{image} has no pinned tag"


def test_the_image_installs_pins_with_hashes_and_no_torch():
    pins = (ROOT / "requirements" / "serve.txt").read_text("utf-8")
    names = set(re.findall(r"^([a-z0-9][\w.-]*)==", pins, re.MULTILINE))
    assert {"fastapi", "uvicorn", "sqlalchemy", "pg8000", "obstore", "onnxruntime"} <= names
    assert not names & {"torch", "torchvision", "timm", "accelerate", "psycopg", "psycopg2"}
    blocks = re.split(r"\n(?=[a-z0-9])", pins)
    assert all("--hash=sha256:" in block for block in blocks if "==" in block)
    dev = (ROOT / "requirements" / "dev.txt").read_text("utf-8")
    pinned = dict(re.findall(r"^([a-z0-9][\w.-]*)==(\S+)", dev, re.MULTILINE))
    assert all(
        pinned[name] == version
        for name, version in re.findall(r"^([a-z0-9][\w.-]*)==(\S+) \\", pins, re.MULTILINE)
    )
    script = re.search(r"sed -n '([^']+)'", DOCKERFILE)[1]
    told = subprocess.run(["sed", "-n", script], input=dev, capture_output=True, text=True, check=True).stdout
    assert re.match(r"setuptools==\S+ \\\n    --hash=sha256:", told)
    assert told.count("==") == 1
    copied = {word for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for word in
              line.split()[:-1]}  # fmt: skip
    let_in = {line[1:] for line in TEXTS["Dockerfile.dockerignore"].splitlines() if line.startswith("!")}
    assert copied == let_in
    assert all((ROOT / name).exists() for name in copied)


def test_no_file_holds_a_secret():
    wanted = re.compile(r"\$\{(\w+):\?set it in \.env\}")
    filled_by_hand = set(re.findall(r"^(\w+)=$", TEXTS["env.example"], re.MULTILINE))
    assert set(wanted.findall(TEXTS["compose.yaml"])) == filled_by_hand
    for name, text in TEXTS.items():
        if name == "README.md":
            continue
        for line in wanted.sub("WANTED", text).splitlines():
            given = re.search(r"(?i)(?:password|secret_?(?:access_)?key|access_?key)\"?[:=]\s*\"?(\S+)", line)
            assert given is None or given[1].startswith(("WANTED", "{")), f"{name}: {line}"
            assert not re.search(r"assay\.k_[0-9a-z]{26}\.", line), f"{name}: {line}"
            assert not re.search(r"://[^:/\s]+:(?!WANTED)[^@/\s]+@", line), f"{name}: {line}"
    assert not [one for one in KUBERNETES if one[0] == "Secret"]
    secret = {one["name"] for one in CONTAINER["env"] if "valueFrom" in one}
    assert secret >= {DATABASE, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_alerts_ask_for_what_is_counted():
    meters = Meters()
    meters.refused.labels("busy").inc()
    meters.decided.labels("accept").inc()
    meters.workers.labels("decoder").set(1)
    meters.letters.labels("failed").inc()
    counted = {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(meters.text().decode())
        for sample in family.samples
    }
    rules = [rule for group in yaml.safe_load(TEXTS["alerts.yml"])["groups"] for rule in group["rules"]]
    assert len({rule["alert"] for rule in rules}) == len(rules) > 4
    asked = set()
    for rule in rules:
        for name, matched in re.findall(r"\b(assay_\w+)(?:\{(\w+)=)?", rule["expr"]):
            assert name in counted, f"{rule['alert']}: nobody counts {name}"
            assert not matched or matched in counted[name], f"{rule['alert']}: {name} has no label {matched}"
            asked.add(name)
        assert rule["for"]
        assert rule["annotations"]["summary"]
    assert asked >= {"assay_photos_waiting", "assay_workers_alive", "assay_requests_refused_total"}


def test_alerts_name_refusals_that_exist():
    gate = (ROOT / "src" / "assay" / "service" / "gate.py").read_text("utf-8")
    for why in re.findall(r'why=\\?"([^"\\]+)', TEXTS["alerts.yml"]):
        assert f'"{why}"' in gate or f'"{why}: ' in gate
    letters = (ROOT / "src" / "assay" / "service" / "chores.py").read_text("utf-8")
    assert '"failed" if failure else "sent"' in letters


def test_prometheus_reads_the_rules_and_brings_a_key():
    told = yaml.safe_load(TEXTS["prometheus.yml"])
    assert told["rule_files"] == ["alerts.yml"]
    (job,) = told["scrape_configs"]
    assert job["authorization"]["type"] == "Bearer"
    assert job["metrics_path"] == "/metrics"
    assert {"job_name": job["job_name"]} == {"job_name": "assay"}


def test_the_read_me_names_every_file_and_says_what_was_not_done():
    told = TEXTS["README.md"]
    assert all(f"`{name}`" in told for name in TEXTS if name not in ("README.md", "Dockerfile.dockerignore"))
    assert "never run" in told
    for line in re.findall(r"^(assay .*)$", told, re.MULTILINE):
        words = shlex.split(line.partition(" > ")[0], comments=True)
        parse(build_parser(COMMANDS.load(words[1])), words[2:])
