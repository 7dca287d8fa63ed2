"""The stack past one machine: its compose file, and configurations that agree with each other and with those of one."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from botmetry.errors import StackError
from botmetry.stack.files import StackFiles, find_stack
from botmetry.stack.scale import SCALED_PARTS, render_scale_prometheus
from botmetry.stack.storage_secrets import main, make_storage_secrets

FILES = find_stack(Path(__file__))
SCALE = FILES.monitoring / "scale"


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def _resolved(service: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """`extends`, as far as it is used: the other file's service with what stands here put over it."""
    if "extends" not in service:
        return service
    other = base[service["extends"]["service"]]
    environment = {**other.get("environment", {}), **service.get("environment", {})}
    return {**other, **service, "environment": environment}


ONE: dict[str, dict[str, Any]] = _read(FILES.compose)["services"]
COMPOSE: dict[str, Any] = _read(FILES.root / "docker-compose.scale.yml")
SERVICES = {name: _resolved(service, ONE) for name, service in COMPOSE["services"].items()}
EVERY = pytest.mark.parametrize("name", SERVICES)
PROMETHEUS: dict[str, Any] = _read(SCALE / "prometheus.yml")
MIMIR: dict[str, Any] = _read(SCALE / "mimir.yml")
LOKI: dict[str, Any] = _read(SCALE / "loki.yml")
LOKI_OF_ONE: dict[str, Any] = _read(FILES.monitoring / "loki-config.yml")


def test_parts() -> None:
    """Two of Prometheus and Alertmanager, three that hold what is being written, two of the rest of Loki."""
    counts: dict[str, int] = {}
    for name in SERVICES:
        part = re.sub(r"-\d$", "", name)
        counts[part] = counts.get(part, 0) + 1
    assert {part: number for part, number in counts.items() if number > 1} == {
        "prometheus": 2,
        "alertmanager": 2,
        "mimir": 3,
        "loki-write": 3,
        "loki-read": 2,
        "loki-backend": 2,
    }
    assert {"garage", "grafana", "alloy", "tempo"} <= counts.keys()
    assert "promtail" not in counts


@EVERY
def test_container_is_confined(name: str) -> None:
    """A container is pinned, has a read-only root, no capability it does not need, and limits."""
    service = SERVICES[name]
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+(-alpine|-musl)?", service["image"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert set(service.get("cap_add", ())) <= {"DAC_READ_SEARCH"}
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert service["logging"]["options"]["max-size"]


@EVERY
def test_container_is_checked(name: str) -> None:
    """Health is asked of each program itself; the one that only copies a file has to end well instead."""
    if name == "probe":
        waiting = [service["depends_on"]["probe"] for key, service in SERVICES.items() if "mimir" in key]
        assert waiting == [{"condition": "service_completed_successfully"}] * 3
        return
    check = SERVICES[name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()
    assert "localhost" not in str(check["test"])


def test_what_is_on_both_is_the_same_program() -> None:
    """A program that runs on one machine and past it has one version."""
    versions: dict[str, set[str]] = {}
    for service in (*ONE.values(), *SERVICES.values()):
        image, _, version = service["image"].rpartition(":")
        versions.setdefault(image, set()).add(version)
    assert {image for image, found in versions.items() if len(found) > 1} == set()


def test_ports_are_this_machines_only() -> None:
    """Every published port is bound to 127.0.0.1, and none is published twice."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in ports)
    published = [port.split(":")[1] for port in ports]
    assert len(set(published)) == len(published)
    assert {"9090", "9093", "3000", "3100", "9009"} <= set(published)


@EVERY
def test_mounts(name: str) -> None:
    """What is mounted from the project exists and is read-only; other volumes are declared, each one's own."""
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *mode = re.sub(r"\$\{[^}]*\}", "LOGS", volume).split(":")
        assert target.startswith("/")
        if source.startswith("./"):
            assert mode == ["ro"]
            assert (FILES.root / source).exists(), source
        elif source != "LOGS":
            assert source in COMPOSE["volumes"]
            assert source.startswith(name) or mode == ["ro"] or name == "probe"


def test_no_data_is_shared() -> None:
    """No two containers write into one volume."""
    written = [
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service.get("volumes", ())
        if not volume.startswith((".", "$")) and not volume.endswith(":ro")
    ]
    assert len(set(written)) == len(written)
    assert set(written) == COMPOSE["volumes"].keys()


def test_secrets_are_files() -> None:
    """Every secret is a file that is not committed; no password stands in a file that is."""
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert used == COMPOSE["secrets"].keys()
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"./monitoring/secrets/{name}"}
    assert SERVICES["garage"]["env_file"] == ["./monitoring/secrets/garage.env"]
    for path in (FILES.root / "docker-compose.scale.yml", *SCALE.iterdir()):
        assert not re.search(
            r"(secret_access_key|access_key_id|password|rpc_secret)[ ]*[:=][ ]*\S", path.read_text("utf-8")
        )


def test_docker_compose_takes_the_file(composed: Callable[[Path], dict[str, Any]] | None) -> None:
    """`docker compose config`, where it is installed, takes the file, and reads `extends` as the tests here do."""
    if composed is not None:
        made = composed(FILES.root / "docker-compose.scale.yml")["services"]
        assert made.keys() == SERVICES.keys()
        assert made["grafana"]["environment"] == SERVICES["grafana"]["environment"]


def test_prometheus_is_made_from_that_of_one_machine() -> None:
    """Jobs, limits and rules are those of one machine; only who is asked, told and written to differs."""
    one = _read(FILES.prometheus)
    assert PROMETHEUS["rule_files"] == one["rule_files"]
    assert [job["job_name"] for job in PROMETHEUS["scrape_configs"]] == [
        job["job_name"] for job in one["scrape_configs"]
    ]
    for job, other in zip(PROMETHEUS["scrape_configs"], one["scrape_configs"], strict=True):
        changed = {key for key in other if job[key] != other[key]}
        assert changed <= {"static_configs", "dns_sd_configs", "relabel_configs"}
        assert job["job_name"] in {"prometheus", "alertmanager", "stack"} or not changed


def test_replicas_are_told_apart_and_their_alerts_are_not() -> None:
    """Mimir sees `cluster` and `__replica__` on every sample; Alertmanager sees the same alert from both."""
    assert PROMETHEUS["global"]["external_labels"] == {"cluster": "botmetry", "__replica__": "${REPLICA}"}
    replicas = {SERVICES[f"prometheus-{number}"]["environment"]["REPLICA"] for number in (1, 2)}
    assert replicas == {"prometheus-1", "prometheus-2"}
    assert MIMIR["limits"]["accept_ha_samples"] is True
    assert (MIMIR["limits"]["ha_cluster_label"], MIMIR["limits"]["ha_replica_label"]) == (
        "cluster",
        "__replica__",
    )
    assert MIMIR["distributor"]["ha_tracker"]["enable_ha_tracker"] is True
    assert MIMIR["distributor"]["ha_tracker"]["kvstore"] == {"store": "memberlist"}
    assert {"regex": "__replica__", "action": "labeldrop"} in PROMETHEUS["alerting"]["alert_relabel_configs"]
    (write,) = PROMETHEUS["remote_write"]
    assert (write["url"], write["send_exemplars"]) == ("http://mimir:8080/api/v1/push", True)
    assert SERVICES["prometheus-1"]["command"] == SERVICES["prometheus-2"]["command"]


def test_prometheus_finds_every_container() -> None:
    """Each container but those without metrics is scraped, under the service that routes know it by."""
    jobs = {job["job_name"]: job for job in PROMETHEUS["scrape_configs"]}
    found = {entry["names"][0]: entry["port"] for entry in jobs["stack"]["dns_sd_configs"]}
    static = {
        target.partition(":")[0]
        for job in ("prometheus", "alertmanager")
        for target in jobs[job]["static_configs"][0]["targets"]
    }
    assert found.keys() | static == SERVICES.keys() - {"probe"}
    assert {name: found[name] for name, _ in SCALED_PARTS} == dict(SCALED_PARTS)
    (pattern,) = {entry["regex"] for entry in jobs["stack"]["relabel_configs"] if "regex" in entry}
    services = {name: re.fullmatch(pattern, name)[1] for name in found}  # type: ignore[index]
    assert services["loki-write-2"] == services["loki-backend-1"] == "loki"
    assert (services["mimir-3"], services["redis-exporter"], services["tempo"]) == (
        "mimir",
        "redis-exporter",
        "tempo",
    )
    routes = FILES.alertmanager.read_text("utf-8")
    (known,) = re.findall(r'service =~ "([^"]+)"', routes)
    assert {services[name] for name, _ in SCALED_PARTS} <= set(known.split("|"))


def test_promtool_takes_it(program: Callable[[str], str], tmp_path: Path) -> None:
    """Promtool takes the replicas' configuration beside the rules, as the container has them."""
    shutil.copy(SCALE / "prometheus.yml", tmp_path)
    for path in FILES.rules:
        shutil.copy(path, tmp_path)
    done = subprocess.run(
        [program("promtool"), "check", "config", tmp_path / "prometheus.yml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_rule_file_is_mounted() -> None:
    """Both replicas find each rule file that their configuration names, and Loki's ruler its own."""
    for number in (1, 2):
        mounted = {volume.split(":")[1] for volume in SERVICES[f"prometheus-{number}"]["volumes"]}
        assert {f"/etc/prometheus/{name}" for name in PROMETHEUS["rule_files"]} <= mounted
        backend = SERVICES[f"loki-backend-{number}"]["volumes"]
        assert f"./monitoring/loki-rules:{LOKI['ruler_storage']['local']['directory']}:ro" in backend


def test_a_change_that_it_cannot_follow_is_told() -> None:
    """When prometheus.yml loses a place that the replicas' version changes, rendering says so."""
    text = FILES.prometheus.read_text("utf-8")
    for gone in ("global:\n", "alerting:\n", '["localhost:9090"]', "names: [promtail]"):
        with pytest.raises(StackError, match="monitoring/prometheus.yml:1: has no"):
            render_scale_prometheus(text.replace(gone, "other:\n"))


def test_every_address_is_somebody() -> None:
    """Each host that a configuration names is a container or one of its aliases."""
    names = set(SERVICES)
    for service in SERVICES.values():
        networks = service.get("networks", ())
        if isinstance(networks, dict):
            names |= set(networks["monitoring"]["aliases"])
    texts = [
        (SCALE / name).read_text("utf-8")
        for name in ("mimir.yml", "loki.yml", "prometheus.yml", "garage.toml")
    ]
    texts += [str(SERVICES[name].get("environment", "")) for name in ("grafana", "alloy")]
    texts += [str(SERVICES["alertmanager-1"]["command"])]
    named: set[str] = set()
    for text in texts:
        bare = re.sub(r"#[^\n]*", "", text)
        named |= set(re.findall(r"([a-z][a-z0-9-]*):(?:9090|9093|9094|8080|3100|3200|3900|3901)\b", bare))
    assert {"mimir", "garage", "loki-read", "loki-write", "alertmanager-1"} <= named
    assert named - names <= {"localhost"}
    for members in (MIMIR["memberlist"]["join_members"], LOKI["memberlist"]["join_members"]):
        assert set(members) <= names


def test_loki_is_that_of_one_machine_on_a_bucket() -> None:
    """Schema, labels of OTLP records and limits that shape what is stored are the same on one machine and past it."""
    (schema,), (other,) = LOKI["schema_config"]["configs"], LOKI_OF_ONE["schema_config"]["configs"]
    assert schema == {**other, "object_store": "s3"}
    for limit in ("otlp_config", "max_line_size", "max_line_size_truncate", "allow_structured_metadata"):
        assert LOKI["limits_config"][limit] == LOKI_OF_ONE["limits_config"][limit]
    assert LOKI["limits_config"].keys() == LOKI_OF_ONE["limits_config"].keys()
    assert LOKI["compactor"]["retention_enabled"] is True
    assert LOKI["compactor"]["delete_request_store"] == schema["object_store"]
    assert LOKI["common"]["replication_factor"] == 3
    targets = {SERVICES[name]["command"][-1] for name in SERVICES if name.startswith("loki-")}
    assert targets == {"-target=write", "-target=read", "-target=backend"}


def test_both_stores_use_the_bucket_that_garage_makes() -> None:
    """Bucket, region and address agree, keys come from the secrets file, and prefixes keep the two apart."""
    garage = (SCALE / "garage.toml").read_text("utf-8")
    for storage in (MIMIR["common"]["storage"]["s3"], LOKI["storage_config"]["object_store"]["s3"]):
        assert storage["bucket_name"] == SERVICES["garage"]["environment"]["GARAGE_DEFAULT_BUCKET"]
        assert f's3_region = "{storage["region"]}"' in garage
        assert f'api_bind_addr = "[::]:{storage["endpoint"].partition(":")[2]}"' in garage
    prefixes = {
        MIMIR["blocks_storage"]["storage_prefix"],
        LOKI["storage_config"]["object_store"]["storage_prefix"],
    }
    assert prefixes == {"mimir", "loki"}
    for name, service in SERVICES.items():
        if name.startswith(("mimir", "loki")):
            assert service["environment"]["AWS_SHARED_CREDENTIALS_FILE"] == "/run/secrets/s3_credentials"
            assert service["secrets"] == ["s3_credentials"]


def test_writes_go_only_where_there_is_a_volume() -> None:
    """With a read-only root, every folder that Mimir and Loki are told to write into lies in their volume."""
    folders = re.findall(
        r"(?:dir|directory|filepath|path_prefix|rule_path|cache_location): (/\S+)",
        (SCALE / "mimir.yml").read_text("utf-8") + (SCALE / "loki.yml").read_text("utf-8"),
    )
    assert len(folders) > 8
    assert all(folder.startswith(("/data", "/loki", "/etc/loki/rules")) for folder in folders)


def test_secrets_hold_one_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The storage and its users get the same random key, in the form Garage takes; a second run changes nothing."""
    folder = tmp_path / "secrets"
    assert make_storage_secrets(folder) == ("garage.env", "garage_rpc_secret", "s3_credentials")
    texts = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    key = re.search(r"ACCESS_KEY=(GK[0-9a-f]{24})\n", texts["garage.env"])
    secret = re.search(r"SECRET_KEY=([0-9a-f]{64})\n", texts["garage.env"])
    assert key is not None
    assert secret is not None
    assert f"aws_access_key_id = {key[1]}\naws_secret_access_key = {secret[1]}\n" in texts["s3_credentials"]
    assert re.fullmatch(r"[0-9a-f]{64}", texts["garage_rpc_secret"])
    assert folder.stat().st_mode & 0o077 == 0
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out == ""
    assert {path.name: path.read_text("utf-8") for path in folder.iterdir()} == texts


def test_a_lost_secret_is_not_made_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """When one of the three is missing nothing is written: a new key would lock out what is stored."""
    make_storage_secrets(tmp_path)
    (tmp_path / "s3_credentials").unlink()
    assert main([str(tmp_path)]) == 2
    assert "but not s3_credentials" in capsys.readouterr().err
    assert not (tmp_path / "s3_credentials").exists()
    assert main([]) == 2


@pytest.mark.parametrize(
    "broken", ["monitoring/scale/prometheus.yml", "monitoring/SIZING.md", "monitoring/LOGS.md"]
)
def test_a_page_that_was_changed_by_hand_is_told(copy: StackFiles, broken: str) -> None:
    """Rendering finds a generated page that differs, and writes it again."""
    from botmetry.stack.render import stale, write  # noqa: PLC0415 - loads the dashboards' library

    path = copy.root / broken
    wanted = path.read_text("utf-8")
    path.write_text(wanted + "by hand\n", "utf-8")
    assert path in stale(copy)
    assert path in write(copy)
    assert path.read_text("utf-8") == wanted
