"""A real Prometheus and a real Alertmanager on the shipped files, elsewhere and in haste."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from cluster.process import spawn, stop
from cluster.state import Stack

DEPLOY = Path(__file__).resolve().parents[3] / "cluster" / "deploy"


def prometheus_files(folder: Path, *, targets: list[str], alertmanager: int) -> Path:
    """The shipped configuration, asking these targets every second and holding nothing back."""
    shutil.copytree(DEPLOY / "prometheus", folder)
    config = _load(folder / "prometheus.yml")
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    receivers = config["alerting"]["alertmanagers"][0]["static_configs"]
    receivers[0]["targets"] = [f"127.0.0.1:{alertmanager}"]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = targets
    for path in (folder / "rules").glob("*.yml"):
        rules = _load(path)
        for rule in (rule for group in rules["groups"] for rule in group["rules"]):
            rule.pop("for", None)
        _save(path, rules)
    return _save(folder / "prometheus.yml", config)


def alertmanager_files(folder: Path, stack: Stack) -> Path:
    """The shipped configuration, posting to this stack at once."""
    assert stack.alertmanager is not None
    shutil.copytree(DEPLOY / "alertmanager", folder)
    config = _load(folder / "alertmanager.yml")
    config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
    webhook = config["receivers"][0]["webhook_configs"][0]
    oauth2 = webhook["http_config"]["oauth2"]
    assert oauth2["client_id"] == stack.alertmanager.name
    webhook["url"] = stack.api_url + urlsplit(webhook["url"]).path
    oauth2["token_url"] = stack.api_url + urlsplit(oauth2["token_url"]).path
    secret = folder / oauth2["client_secret_file"]
    secret.touch(mode=0o600)
    secret.write_text(stack.alertmanager.secret)
    return _save(folder / "alertmanager.yml", config)


@contextmanager
def prometheus(program: str, config: Path, port: int) -> Iterator[None]:
    """Runs until the block ends."""
    arguments = (f"--storage.tsdb.path={config.parent / 'data'}", "--log.level=warn")
    with _running(program, config, port, *arguments):
        yield


@contextmanager
def alertmanager(program: str, config: Path, port: int) -> Iterator[None]:
    """Runs until the block ends; without gossip."""
    arguments = (f"--storage.path={config.parent / 'data'}", "--cluster.listen-address=")
    with _running(program, config, port, *arguments):
        yield


@contextmanager
def exporter(port: int) -> Iterator[None]:
    """Something that Prometheus can scrape; a target is down when the block has ended."""

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(b"watched 1\n")

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Metrics)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _running(program: str, config: Path, port: int, *arguments: str) -> Iterator[None]:
    log = config.parent / "output.log"
    process = spawn(
        [
            program,
            f"--config.file={config}",
            f"--web.listen-address=127.0.0.1:{port}",
            *arguments,
        ],
        log=log,
        environment={"PATH": os.defpath},
        death_signal=signal.SIGKILL,
        cwd=config.parent,
    )
    try:
        yield
    finally:
        stop(process, signal.SIGTERM, timeout_s=10)
        print(log.read_text()[-4_000:])


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _save(path: Path, content: Any) -> Path:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path
