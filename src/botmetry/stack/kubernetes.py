"""The stack as Kubernetes objects for the Prometheus operator and Grafana's sidecar, from the same files.

A bot that polls has no Service in front of it, so each watched program gets a headless one that only carries its
metrics port, and a ServiceMonitor that puts the labels `job` and `service` as the rules expect them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from botmetry.errors import StackError
from botmetry.stack.files import StackFiles
from botmetry.stack.rules import read_rules
from botmetry.stack.services import Watched, read_watched

__all__ = ["KubernetesOptions", "kubernetes_objects", "write_kubernetes"]

Object = dict[str, Any]

_GROUP = "monitoring.coreos.com/v1"
_NAME = "app.kubernetes.io/name"
_PART_OF = {"app.kubernetes.io/part-of": "botmetry"}
# A ConfigMap may hold 1 MiB; `kubectl apply` keeps a copy in an annotation, which is limited to 256 KiB.
_LARGEST_BYTES = 250 * 1024
_DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LOCAL_GRAFANA = "http://localhost:3000"
_LIMITS = {
    "sample_limit": "sampleLimit",
    "label_limit": "labelLimit",
    "label_name_length_limit": "labelNameLengthLimit",
    "label_value_length_limit": "labelValueLengthLimit",
    "body_size_limit": "bodySizeLimit",
}


@dataclass(frozen=True, slots=True)
class KubernetesOptions:
    """What a cluster wants beside the objects themselves.

    Attributes:
        namespace: Where they go; None leaves it to `kubectl`.
        labels: For every object, such as the `release` by which an operator selects.
        grafana_url: Where people reach Grafana, for the links in alerts.

    Raises:
        StackError: The namespace is not a name that Kubernetes takes.
    """

    namespace: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    grafana_url: str = _LOCAL_GRAFANA

    def __post_init__(self) -> None:
        if self.namespace is not None and not _DNS_LABEL.fullmatch(self.namespace):
            raise StackError(
                f"{self.namespace!r} cannot be a namespace: lower-case letters, digits and -, at most 63"
            )


def kubernetes_objects(files: StackFiles, options: KubernetesOptions) -> dict[str, list[Object]]:
    """Return the objects by the name of the file they belong into, the same at every call.

    Raises:
        StackError: A file of the stack is missing or broken, or a dashboard is too large for a ConfigMap.
    """
    made = _Maker(options)
    objects = {
        "monitors.yml": [item for watched in _merged(read_watched(files)) for item in made.monitor(watched)],
        "rules.yml": [made.rules(path) for path in files.rules],
        "runbooks.yml": [made.config_map("botmetry-runbooks", files.runbooks.glob("*.md"), {})],
    }
    for path in sorted(files.dashboards.glob("*.json")):
        objects[f"dashboard-{path.stem}.yml"] = [
            made.config_map(f"dashboard-{path.stem}", [path], {"grafana_dashboard": "1"})
        ]
    return objects


def write_kubernetes(
    files: StackFiles, options: KubernetesOptions, folder: Path | None
) -> tuple[list[Path], str]:
    """Write the objects into `folder`, which is made, or return them as one text.

    Returns:
        The files that were written, and the text where there is no folder.

    Raises:
        StackError: As `kubernetes_objects`, or the folder cannot be written.
    """
    texts = {name: _encode(objects) for name, objects in kubernetes_objects(files, options).items()}
    if folder is None:
        return [], "".join(texts.values())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text, "utf-8")
    except OSError as error:
        raise StackError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return [folder / name for name in texts], ""


@dataclass(frozen=True, slots=True)
class _Maker:
    options: KubernetesOptions

    def monitor(self, watched: Watched) -> Iterator[Object]:
        """Yield the Service that carries the metrics port and the ServiceMonitor that selects it."""
        name = f"{watched.job.replace('_', '-')}-metrics"
        port = _port(watched)
        selector = {_NAME: watched.service}
        service = self._object("v1", "Service", name, {_NAME: watched.service})
        service["spec"] = {
            "clusterIP": "None",
            "selector": selector,
            "ports": [{"name": "metrics", "port": port, "targetPort": port}],
        }
        yield service
        monitor = self._object(_GROUP, "ServiceMonitor", name)
        relabelings = [
            {"targetLabel": "job", "replacement": watched.job},
            {"targetLabel": "service", "replacement": watched.service},
        ]
        monitor["spec"] = {
            **{_LIMITS[key]: value for key, value in watched.limits.items()},
            # Not the application's own Service, should it have one: its targets would be scraped twice.
            "selector": {"matchLabels": {**selector, **_PART_OF}},
            "endpoints": [{"port": "metrics", "path": "/metrics", "relabelings": relabelings}],
        }
        yield monitor

    def rules(self, path: Path) -> Object:
        """Return a rule file as a PrometheusRule."""
        groups = read_rules(path)["groups"]
        text = yaml.safe_dump(groups, sort_keys=False, allow_unicode=True, width=1000)
        made = self._object(_GROUP, "PrometheusRule", f"botmetry-{path.stem.replace('_', '-')}")
        made["spec"] = {"groups": yaml.safe_load(text.replace(_LOCAL_GRAFANA, self.options.grafana_url))}
        return made

    def config_map(
        self, name: str, paths: Iterator[Path] | Sequence[Path], labels: Mapping[str, str]
    ) -> Object:
        """Return files as a ConfigMap.

        Raises:
            StackError: They are too large for one.
        """
        data = {path.name: path.read_text("utf-8") for path in sorted(paths)}
        size = sum(len(text.encode()) for text in data.values())
        if size > _LARGEST_BYTES:
            raise StackError(
                f"{name} has {size} bytes; a ConfigMap that kubectl can apply has {_LARGEST_BYTES}"
            )
        made = self._object("v1", "ConfigMap", name, labels)
        made["data"] = data
        return made

    def _object(self, version: str, kind: str, name: str, labels: Mapping[str, str] | None = None) -> Object:
        metadata: Object = {"name": name}
        if self.options.namespace is not None:
            metadata["namespace"] = self.options.namespace
        metadata["labels"] = {**_PART_OF, **self.options.labels, **(labels or {})}
        return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _merged(watched: Sequence[Watched]) -> Iterator[Watched]:
    """Yield each job once: several addresses of it are several pods of one deployment."""
    seen: set[str] = set()
    for entry in watched:
        if entry.job not in seen:
            seen.add(entry.job)
            yield entry


def _port(watched: Watched) -> int:
    for address in watched.addresses:
        port = address.rpartition(":")[2]
        if port.isdigit():
            return int(port)
    raise StackError(f"job {watched.job} has no target with a port, such as host.docker.internal:8000")


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that a difference is readable, and no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        """Write what stands in two places twice."""
        del data
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def _encode(objects: Sequence[Object]) -> str:
    return "".join(
        "---\n" + yaml.dump(item, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)
        for item in objects
    )
