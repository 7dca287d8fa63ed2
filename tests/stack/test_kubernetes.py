"""`botmetry render kubernetes`: objects that the operator's schemas accept, from the same files as everything else."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from botmetry import cli
from botmetry.errors import StackError
from botmetry.stack.files import StackFiles
from botmetry.stack.kubernetes import KubernetesOptions, kubernetes_objects

# The fields of the custom resources that may be used here, as the operator's schemas name them (0.84): a cluster drops
# what it does not know without a word.
_METADATA = {"name": str, "namespace": str, "labels": dict}
_RELABELING = {"targetLabel": str, "replacement": str}
_RULE = {
    **dict.fromkeys(("alert", "record", "expr", "for", "keep_firing_for"), str),
    **dict.fromkeys(("labels", "annotations"), dict),
}
_SPECS: dict[str, dict[str, Any]] = {
    "ServiceMonitor": {
        "selector": {"matchLabels": dict},
        "endpoints": [{"port": str, "path": str, "relabelings": [_RELABELING]}],
        **dict.fromkeys(("sampleLimit", "labelLimit", "labelNameLengthLimit", "labelValueLengthLimit"), int),
        "bodySizeLimit": str,
    },
    "PrometheusRule": {
        "groups": [{"name": str, "interval": str, "limit": int, "labels": dict, "rules": [_RULE]}]
    },
    "Service": {
        "clusterIP": str,
        "selector": dict,
        "ports": [{"name": str, "port": int, "targetPort": int}],
    },
}
_DURATION = re.compile(
    r"^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$"
)
_BODY_SIZE = re.compile(r"(^0|([0-9]*[.])?[0-9]+((K|M|G|T|E|P)i?)?B)$")


@pytest.fixture(scope="module")
def objects(files: StackFiles) -> list[dict[str, Any]]:
    options = KubernetesOptions("watch", {"release": "stack"}, "https://grafana.example.com")
    return [item for group in kubernetes_objects(files, options).values() for item in group]


def test_schemas(objects: list[dict[str, Any]]) -> None:
    """Every field is one that the schema of its kind has, with a value of its type; names are unique."""
    versions = {"Service": "v1", "ConfigMap": "v1"}
    for item in objects:
        kind = item["kind"]
        assert item["apiVersion"] == versions.get(kind, "monitoring.coreos.com/v1")
        assert _differences(item["metadata"], _METADATA, kind) == []
        assert item["metadata"]["namespace"] == "watch"
        assert item["metadata"]["labels"]["release"] == "stack"
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", item["metadata"]["name"])
        if kind != "ConfigMap":
            assert _differences(item["spec"], _SPECS[kind], kind) == []
    names = [(item["kind"], item["metadata"]["name"]) for item in objects]
    assert len(set(names)) == len(names)


def test_monitors(objects: list[dict[str, Any]], files: StackFiles) -> None:
    """Each service is found by its headless Service, with the labels that rules expect and the limits of the file."""
    jobs = {
        job["job_name"]: job for job in yaml.safe_load(files.prometheus.read_text("utf-8"))["scrape_configs"]
    }
    services = {item["metadata"]["name"]: item for item in objects if item["kind"] == "Service"}
    monitors = [item for item in objects if item["kind"] == "ServiceMonitor"]
    assert {monitor["metadata"]["name"] for monitor in monitors} == services.keys()
    assert {"midas-bot-metrics", "midas-worker-metrics"} <= services.keys()
    for monitor in monitors:
        service = services[monitor["metadata"]["name"]]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] == service["spec"]["ports"][0]["name"]
        labels = {rule["targetLabel"]: rule["replacement"] for rule in endpoint["relabelings"]}
        job = jobs[labels["job"]]
        assert labels["service"] == job["static_configs"][0]["labels"]["service"]
        assert job["static_configs"][0]["targets"][0].endswith(f":{service['spec']['ports'][0]['port']}")
        assert monitor["spec"]["sampleLimit"] == job["sample_limit"]
        assert _BODY_SIZE.search(monitor["spec"]["bodySizeLimit"])


def test_rules(objects: list[dict[str, Any]], files: StackFiles) -> None:
    """Every rule of every file is there, unchanged but for the address of Grafana; durations have the schema's form."""
    rendered = [
        group for item in objects if item["kind"] == "PrometheusRule" for group in item["spec"]["groups"]
    ]
    source = "".join(path.read_text("utf-8") for path in files.rules)
    wanted = [
        group
        for path in files.rules
        for group in yaml.safe_load(
            path.read_text("utf-8").replace("http://localhost:3000", "https://grafana.example.com")
        )["groups"]
    ]
    assert rendered == wanted
    assert "http://localhost:3000" in source
    assert "localhost:3000" not in json.dumps(rendered)
    for group in rendered:
        for rule in group["rules"]:
            assert ("alert" in rule) != ("record" in rule)
            assert all(_DURATION.fullmatch(rule[key]) for key in ("for", "keep_firing_for") if key in rule)
            values = {**rule.get("labels", {}), **rule.get("annotations", {})}.values()
            assert all(isinstance(value, str) for value in values)


def test_dashboards_and_runbooks(objects: list[dict[str, Any]], files: StackFiles) -> None:
    """Each dashboard is a ConfigMap that Grafana's sidecar finds, every page is in one; kubectl can apply both."""
    maps = {item["metadata"]["name"]: item for item in objects if item["kind"] == "ConfigMap"}
    for path in files.dashboards.glob("*.json"):
        made = maps.pop(f"dashboard-{path.stem}")
        assert made["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert made["data"] == {path.name: path.read_text("utf-8")}
        assert len(json.dumps(made)) < 256 * 1024
    (runbooks,) = maps.values()
    assert runbooks["data"].keys() == {path.name for path in files.runbooks.glob("*.md")}
    assert "grafana_dashboard" not in runbooks["metadata"]["labels"]
    assert len(json.dumps(runbooks)) < 256 * 1024


def test_the_command(files: StackFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same text at every call, to standard output or as files; read back, it is the objects."""
    project = ["--project", str(files.root)]
    texts = []
    for _ in range(2):
        assert cli.main(["render", "kubernetes", "--namespace", "watch", *project]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert "localhost" in texts[0]
    assert "&id" not in texts[0]
    read = list(yaml.safe_load_all(texts[0]))
    wanted = kubernetes_objects(files, KubernetesOptions("watch"))
    assert read == [item for group in wanted.values() for item in group]
    assert (
        cli.main(
            ["render", "kubernetes", "--output", str(tmp_path / "k8s"), "--namespace", "watch", *project]
        )
        == 0
    )
    paths = capsys.readouterr().out.splitlines()
    assert sorted(paths) == sorted(str(path) for path in (tmp_path / "k8s").iterdir())
    assert "".join(Path(path).read_text("utf-8") for path in paths) == texts[0]


def test_a_dashboard_that_is_too_large(copy: StackFiles) -> None:
    """What kubectl could not apply is refused, with its size."""
    (copy.dashboards / "botmetry-ai.json").write_text("x" * 300_000, "utf-8")
    with pytest.raises(StackError, match="dashboard-botmetry-ai has 300000 bytes"):
        kubernetes_objects(copy, KubernetesOptions())


def test_a_target_without_a_port(copy: StackFiles) -> None:
    """A job that cannot be found in a cluster is named."""
    text = copy.prometheus.read_text("utf-8")
    copy.prometheus.write_text(text.replace("host.docker.internal:8000", "shop.example.com"), "utf-8")
    with pytest.raises(StackError, match="job midas-bot has no target with a port"):
        kubernetes_objects(copy, KubernetesOptions())


def test_wrong_calls(files: StackFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A namespace that is none, a label that is none, and a folder that is a file: one clear line, exit code 2."""
    call = ["render", "kubernetes", "--project", str(files.root)]
    assert cli.main([*call, "--namespace", "My Space"]) == 2
    assert "'My Space' cannot be a namespace" in capsys.readouterr().err
    assert cli.main(["render", "--check", "kubernetes"]) == 2
    assert "render --check looks at what is committed" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert cli.main([*call, "--output", str(tmp_path / "file")]) == 2
    assert "cannot be written: File exists" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        cli.main([*call, "--label", "release"])
    assert ended.value.code == 2
    assert "'release' is not KEY=VALUE" in capsys.readouterr().err


def _differences(value: Any, schema: Any, where: str) -> list[str]:
    if isinstance(schema, type):
        return [] if isinstance(value, schema) else [f"{where} is {value!r}"]
    if isinstance(schema, list):
        return [found for entry in value for found in _differences(entry, schema[0], where)]
    unknown = [f"{where}.{key}" for key in value if key not in schema]
    return unknown + [
        found
        for key, entry in value.items()
        if key in schema
        for found in _differences(entry, schema[key], f"{where}.{key}")
    ]
