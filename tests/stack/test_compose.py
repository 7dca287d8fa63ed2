"""What must hold of every container, and what each file that it mounts must be."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from botmetry.stack.files import StackFiles, find_stack

Composed = Callable[[Path], dict[str, Any]] | None

FILES = find_stack()
COMPOSE: dict[str, Any] = yaml.safe_load(FILES.compose.read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EVERY = pytest.mark.parametrize("name", SERVICES)


def test_parts_and_profiles() -> None:
    """The five parts run by default; Alloy, Tempo and the exporters when asked for."""
    by_profile: dict[str, set[str]] = {}
    for name, service in SERVICES.items():
        by_profile.setdefault(",".join(service.get("profiles", ())), set()).add(name)
    assert by_profile == {
        "": {"prometheus", "alertmanager", "grafana", "loki", "promtail"},
        "alloy": {"alloy"},
        "tempo": {"tempo"},
        "exporters": {"redis-exporter", "postgres-exporter"},
    }


@EVERY
def test_image_is_pinned(name: str) -> None:
    """Every image names a full version."""
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-alpine)?", SERVICES[name]["image"])


@EVERY
def test_container_is_confined(name: str) -> None:
    """A container writes only into volumes, keeps no capability it does not need, and has limits."""
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", ())) <= {"DAC_READ_SEARCH"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert service["logging"]["options"]["max-size"]
    assert service["restart"] == "unless-stopped"


@EVERY
def test_memory_is_given_back_before_the_limit(name: str) -> None:
    """Where Go is told its memory limit, it lies below the container's; Prometheus finds the container's itself."""
    told = SERVICES[name].get("environment", {}).get("GOMEMLIMIT")
    limit = SERVICES[name]["mem_limit"]
    assert told is not None or name not in {"loki", "promtail", "alloy", "tempo"}
    if told is not None:
        assert 0.8 <= int(told.removesuffix("MiB")) / int(limit.removesuffix("m")) <= 0.95


@EVERY
def test_container_is_checked(name: str) -> None:
    """Health is asked of the program itself, with patience while it starts."""
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


def test_ports_are_this_machines_only() -> None:
    """Every published port is bound to 127.0.0.1, and none is published twice."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    published = [port.split(":")[1] for port in ports]
    assert len(set(published)) == len(published)
    assert {"9090", "9093", "3000", "3100"} <= set(published)


@EVERY
def test_mounts(name: str) -> None:
    """What is mounted from the project exists and is read-only; other volumes are declared."""
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *mode = re.sub(r"\$\{[^}]*\}", "LOGS", volume).split(":")
        assert target.startswith("/")
        if source.startswith("./"):
            assert mode == ["ro"]
            assert (FILES.root / source).exists(), source
        elif source == "LOGS":
            assert mode == ["ro"]
        else:
            assert source in COMPOSE["volumes"]


def test_secrets_are_files_that_are_not_committed() -> None:
    """Every secret is a file in the folder that ignores itself, and no secret stands in the environment."""
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert used == COMPOSE["secrets"].keys()
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./monitoring/secrets/{name}"}
    assert (FILES.monitoring / "secrets" / ".gitignore").read_text("utf-8").splitlines()[-2:] == [
        "*",
        "!.gitignore",
    ]
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            assert "PASS" not in key or key.endswith("FILE"), f"{key}={value}"


def test_alertmanager_finds_the_secrets_it_names() -> None:
    """Each secrets file in alertmanager.yml is given to its container."""
    named = set(
        re.findall(r"/run/secrets/(\w+)", FILES.alertmanager.read_text("utf-8").split("\nglobal:")[1])
    )
    assert named == set(SERVICES["alertmanager"]["secrets"])


def test_every_store_forgets() -> None:
    """Prometheus, Alertmanager, Loki and Tempo have a retention."""
    assert any("retention.time" in option for option in SERVICES["prometheus"]["command"])
    assert any("retention.size" in option for option in SERVICES["prometheus"]["command"])
    assert any("data.retention" in option for option in SERVICES["alertmanager"]["command"])
    loki = yaml.safe_load((FILES.monitoring / "loki-config.yml").read_text("utf-8"))
    assert loki["limits_config"]["retention_period"] == "336h"
    tempo = yaml.safe_load((FILES.monitoring / "tempo-config.yml").read_text("utf-8"))
    assert tempo["backend_worker"]["compaction"]["block_retention"] == "72h"


def test_every_rule_file_is_mounted() -> None:
    """Prometheus finds each rule file that its configuration names."""
    named = yaml.safe_load(FILES.prometheus.read_text("utf-8"))["rule_files"]
    mounted = [volume.split(":")[1] for volume in SERVICES["prometheus"]["volumes"]]
    assert {f"/etc/prometheus/{name}" for name in named} <= set(mounted)


def test_samples_are_kept_as_long_as_service_levels_look_back() -> None:
    """The retention of Prometheus is longer than the longest window of any rule."""
    (kept,) = [option for option in SERVICES["prometheus"]["command"] if "retention.time" in option]
    windows = [
        int(days) for path in FILES.rules for days in re.findall(r"\[(\d+)d[\]:]", path.read_text("utf-8"))
    ]
    assert int(kept.partition("=")[2].removesuffix("d")) > max(windows)


def test_docker_compose_takes_the_file(files: StackFiles, composed: Composed) -> None:
    """`docker compose config`, where it is installed, takes the file with every profile."""
    if composed is not None:
        made = composed(files.compose)
        assert made["services"].keys() == SERVICES.keys()


def test_prometheus_finds_every_container() -> None:
    """Each container is scraped: by its own job or by name, at the port it listens on."""
    jobs = {
        job["job_name"]: job for job in yaml.safe_load(FILES.prometheus.read_text("utf-8"))["scrape_configs"]
    }
    named = {entry["names"][0] for entry in jobs["stack"]["dns_sd_configs"]}
    assert named | {"prometheus", "alertmanager"} == SERVICES.keys()
    assert jobs["midas-bot"]["static_configs"][0]["targets"] == ["host.docker.internal:8000"]
    assert jobs["midas-worker"]["static_configs"][0]["targets"] == ["host.docker.internal:8001"]


def test_grafana_gets_every_address_that_provisioning_names() -> None:
    """Each variable in the provisioning files is set in Grafana's container."""
    names: set[str] = set()
    for path in (FILES.root / "grafana" / "provisioning").rglob("*.yml"):
        names |= set(re.findall(r"(?<!\$)\$\{(\w+)\}", path.read_text("utf-8")))
    assert names
    assert names <= SERVICES["grafana"]["environment"].keys()


def test_commands_in_pages_can_be_run(files: StackFiles) -> None:
    """At night a command is copied: each names the compose file, which has not the name that Compose expects."""
    pages = [files.monitoring / "README.md", *files.runbooks.glob("*.md")]
    commands = [
        command
        for page in pages
        for command in re.findall(r"docker compose ([^`\n]+)", page.read_text("utf-8"))
    ]
    assert len(commands) > 5
    for command in commands:
        file, _, rest = command.removeprefix("-f ").partition(" ")
        assert file == files.compose.name, command
        named = re.search(r"(?:--force-recreate|logs|restart) ([\w-]+)", rest)
        assert named is None or named[1] in SERVICES, command
