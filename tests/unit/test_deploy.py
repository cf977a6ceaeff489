"""What is deployed fits the program: settings, commands, versions, ports, images."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from app.__main__ import cli
from app.config import Settings, read_settings

_ROOT = Path(__file__).resolve().parents[2]
_EXACT_TAG = re.compile(r"^[a-z0-9/-]+:\d+\.\d+\.\d+(-[a-z-]+)?$")
_COMPOSE: dict[str, Any] = yaml.safe_load((_ROOT / "docker-compose.yml").read_text())
_DOCKERFILE = (_ROOT / "deploy" / "Dockerfile").read_text()
_OURS = ["topics", "worker", "api"]


def _commands() -> set[str]:
    return set(typer.main.get_command(cli).commands)  # type: ignore[attr-defined]  # it is a group


def _image_environment() -> dict[str, str]:
    return dict(re.findall(r"\b(SEG_\w+)=(\S+)", _DOCKERFILE))


@pytest.mark.parametrize("name", _OURS)
def test_services_run_commands_that_exist_with_settings_that_are_right(name, tmp_path):
    service = _COMPOSE["services"][name]
    environment = _image_environment() | service["environment"]
    if "SEG_CREDENTIALS_FILE" in environment:
        environment["SEG_CREDENTIALS_FILE"] = str(tmp_path / "credentials")
        (tmp_path / "credentials").write_text("{}")

    settings = read_settings(environment)

    assert service["command"][0] in _commands()
    assert settings.api_host == "0.0.0.0"
    assert settings.kafka_bootstrap_servers == "kafka:19092"


@pytest.mark.parametrize(("name", "port"), [("worker", "worker_port"), ("api", "api_port")])
def test_health_is_asked_at_the_port_that_the_process_has(name, port):
    [*_, script] = _COMPOSE["services"][name]["healthcheck"]["test"]

    assert f"http://127.0.0.1:{getattr(Settings(), port)}/readyz" in script


def test_images_have_exact_tags_and_ports_stay_on_loopback():
    bases = re.findall(r"^FROM (\S+)", _DOCKERFILE, re.M)
    images = [service["image"] for service in _COMPOSE["services"].values()]
    ports = [port for service in _COMPOSE["services"].values() for port in service.get("ports", [])]

    assert [image for image in (*bases, *images) if not _EXACT_TAG.match(image)] == []
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_what_keeps_running_has_a_health_check_and_waits_for_what_it_needs():
    running = {n: s for n, s in _COMPOSE["services"].items() if s["restart"] != "no"}

    assert [name for name, service in running.items() if "healthcheck" not in service] == []
    for name in ("worker", "api"):
        conditions = {n: c["condition"] for n, c in running[name]["depends_on"].items()}
        assert conditions == {
            "kafka": "service_healthy",
            "redis": "service_healthy",
            "topics": "service_completed_successfully",
        }


def test_redis_keeps_everything():
    command = " ".join(_COMPOSE["services"]["redis"]["command"])

    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command


def test_the_image_is_built_in_two_stages_and_runs_as_nobody_special():
    assert len(re.findall(r"^FROM ", _DOCKERFILE, re.M)) == 2
    assert re.findall(r"^USER (\d+)", _DOCKERFILE, re.M) == ["10001"]
    assert 'ENTRYPOINT ["segmentation"]' in _DOCKERFILE


def test_what_the_image_copies_is_there_and_not_ignored():
    ignored = (_ROOT / ".dockerignore").read_text().splitlines()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", _DOCKERFILE, re.M)

    for path in " ".join(copied).split():
        assert (_ROOT / path).exists()
        assert f"!{path}" in ignored


def test_the_containers_run_the_kafka_that_is_tested():
    pom = (_ROOT / "deploy" / "kafka" / "pom.xml").read_text()
    [tested] = re.findall(r"kafka_2\.13</artifactId>\s*<version>([\d.]+)<", pom)

    assert _COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{tested}"


def _locked(name: str) -> dict[str, str]:
    text = (_ROOT / name).read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text, "a lock file names no index"
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+) \\$", text, re.M))


def test_the_lock_files_agree_with_the_project_and_each_other():
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text())
    everything, shipped = _locked("requirements.lock"), _locked("deploy/requirements.lock")
    direct = project["project"]["dependencies"]
    development = project["dependency-groups"]["dev"]

    def pinned(requirement: str) -> tuple[str, str]:
        name, version = requirement.split("==")
        return re.sub(r"\[.*", "", name).lower().replace("_", "-"), version

    assert shipped.items() <= everything.items()
    assert set(map(pinned, direct)) <= set(shipped.items())
    assert set(map(pinned, development)) <= set(everything.items())
    fuzzing = project["dependency-groups"]["fuzz"]
    assert set(map(pinned, fuzzing)) == set(_locked("requirements-fuzz.lock").items())
    assert "pytest" not in shipped


def test_the_scripts_can_be_run():
    assert os.access(_ROOT / ".ci" / "run", os.X_OK)
    shown = subprocess.run(
        ["make", "-s", "help"], cwd=_ROOT, capture_output=True, text=True, check=True
    ).stdout
    for target in ("help", "setup", "lock", "fmt", "check", "test", "test-long", "bench", "demo"):
        assert f"make {target} " in shown


def test_compose_reads_the_file(tmp_path):
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], check=False).returncode:
        pytest.skip("docker compose is not installed")

    result = subprocess.run(
        [docker, "compose", "-f", str(_ROOT / "docker-compose.yml"), "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == 0, result.stderr
