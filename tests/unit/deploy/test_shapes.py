"""The files of each shape keep to the schemas of who reads them, and to one another."""

import json
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import kubernetes_validate
import pytest
import yaml
from ray.autoscaler._private import util as launcher
from ray.autoscaler.sdk import get_docker_host_mount_location as launcher_host_folder
from ray.serve.schema import ServeDeploySchema

from tests.unit.deploy.files import DEPLOY, ROOT, load, manifests

_KUBERNETES = "1.33"
_OF_OTHERS = {"ray.io/v1"}  # kinds whose schema the cluster's operator brings
_SECRETS = {"guild-secrets", "guild-owner", "guild-gcs", "guild-ray-token", "guild-tls"}


def core() -> list[dict[str, Any]]:
    return [one for one in manifests() if one["apiVersion"] not in _OF_OTHERS]


def ray_service() -> dict[str, Any]:
    [found] = [one["spec"] for one in manifests() if one["kind"] == "RayService"]
    spec: dict[str, Any] = found
    return spec


def ray_groups() -> list[dict[str, Any]]:
    cluster = ray_service()["rayClusterConfig"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


@pytest.mark.parametrize("name", ["aws", "on-premises"])
def test_rays_launcher_takes_its_files(name: str) -> None:
    prepared = launcher.prepare_config(load(f"ray/{name}.yaml"))

    launcher.validate_config(prepared)

    assert prepared["docker"]["image"].startswith("elders-guild:")


@pytest.mark.parametrize("name", ["aws", "on-premises"])
def test_the_launcher_copies_what_its_commands_read(name: str) -> None:
    config = load(f"ray/{name}.yaml")
    commands = " ".join([*config["head_start_ray_commands"], *config["worker_start_ray_commands"]])

    read = set(re.findall(r"\. ~/([\w.-]+\.env)", commands))

    assert read == {target.rpartition("/")[2] for target in config["file_mounts"]}
    assert re.findall(r"/srv/guild/(\S+)", commands) == ["cluster/deploy/ray/serve.yaml"]


@pytest.mark.parametrize("name", ["aws", "on-premises"])
def test_the_image_has_what_the_launcher_needs_in_it(name: str) -> None:
    config = load(f"ray/{name}.yaml")
    image = (DEPLOY / "image/Dockerfile").read_text(encoding="utf-8")
    [account] = re.findall(r"^USER (\d+):", image, re.MULTILINE)
    place = launcher_host_folder(config["cluster_name"])

    [allowed] = config["initialization_commands"]

    assert re.search(r"apt-get install .*openssh-client rsync", image)
    assert allowed == f"setfacl --modify=u:{account}:r {place}/home/guild/*.env"
    assert {target.rpartition("/")[0] for target in config["file_mounts"]} == {"/home/guild"}


def test_serve_takes_its_config() -> None:
    config = ServeDeploySchema.model_validate(load("ray/serve.yaml"))

    local = ServeDeploySchema.model_validate(json.loads(json.dumps(load("../../ray_config.yaml"))))
    [application], [at_home] = config.applications, local.applications
    assert application.import_path == "cluster.app:build"
    assert application.deployments == at_home.deployments


def test_the_operator_hands_over_the_same_serve_config() -> None:
    assert yaml.safe_load(ray_service()["serveConfigV2"]) == load("ray/serve.yaml")


@pytest.mark.parametrize(
    "manifest", core(), ids=lambda one: f"{one['kind']}-{one['metadata']['name']}"
)
def test_kubernetes_takes_every_object(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, _KUBERNETES, strict=True)


@pytest.mark.parametrize("group", ray_groups(), ids=["head", "workers"])
def test_kubernetes_takes_the_pods_of_ray(group: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", **group["template"]}

    kubernetes_validate.validate(pod, _KUBERNETES, strict=True)

    [container] = group["template"]["spec"]["containers"]
    assert {"livenessProbe", "readinessProbe", "resources"} <= container.keys()
    assert all(isinstance(value, str) for value in group["rayStartParams"].values())


def test_what_the_manifests_name_is_there() -> None:
    kustomizations = [
        load(f"{folder}/kustomization.yaml") for folder in ("kubernetes", "nginx", "ray")
    ]
    generated = [one for file in kustomizations for one in file.get("configMapGenerator", ())]
    maps = {one["name"] for one in generated}
    maps |= {one["metadata"]["name"] for one in core() if one["kind"] == "ConfigMap"}
    text = json.dumps(list(manifests()))

    for name in kustomizations[0]["resources"]:
        assert (DEPLOY / "kubernetes" / name).exists(), name
    for folder, file in zip(("kubernetes", "nginx", "ray"), kustomizations, strict=True):
        for one in file.get("configMapGenerator", ()):
            for name in [*one.get("files", ()), *one.get("envs", ())]:
                assert (DEPLOY / folder / name).exists(), name
    assert set(re.findall(r'"configMap(?:Ref)?": \{"name": "([\w-]+)"', text)) == maps
    named = re.findall(r'"secret(?:KeyRef|Ref)?": \{"(?:name|secretName)": "([\w-]+)"', text)
    assert {*named, *re.findall(r'"secretName": "([\w-]+)"', text)} == _SECRETS


def test_kustomize_is_told_where_ray_names_a_generated_map() -> None:
    [files] = load("kubernetes/kustomization.yaml")["configurations"]
    [told] = load(f"kubernetes/{files}")["nameReference"]
    container = "template/spec/containers/envFrom/configMapRef/name"

    assert (told["kind"], {one["kind"] for one in told["fieldSpecs"]}) == (
        "ConfigMap",
        {"RayService"},
    )
    assert {one["path"] for one in told["fieldSpecs"]} == {
        f"spec/rayClusterConfig/{group}/{container}"
        for group in ("headGroupSpec", "workerGroupSpecs")
    }


def test_every_selector_finds_pods() -> None:
    pods = {"guild-ray", "guild-nginx", "guild-migration"}
    found = set(re.findall(r'"app.kubernetes.io/name": "([\w-]+)"', json.dumps(list(manifests()))))

    assert found == pods | {"kuberay-operator"}


def test_compose_keeps_to_its_specification() -> None:
    place = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((place / "compose-spec.json").read_text(encoding="utf-8"))
    compose = load("compose/compose.yaml")

    jsonschema.validate(compose, schema)

    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= services.keys(), name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            known = source in compose["volumes"] or source.startswith("${")
            assert known or _is_shipped(source), (name, source)


def _is_shipped(source: str) -> bool:
    made_later = {"./alertmanager-secret"}
    return source in made_later or (DEPLOY / "compose" / source).exists()


def test_docker_itself_takes_the_compose_file(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    asked = [docker or "docker", "compose", "version"]
    if docker is None or subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("needs docker compose")
    given = re.sub(r"=$", "=x", (DEPLOY / "compose/.env.example").read_text(), flags=re.MULTILINE)
    (tmp_path / ".env").write_text(given)

    done = subprocess.run(
        [docker, "compose", "-f", str(DEPLOY / "compose/compose.yaml"), "--env-file",
         str(tmp_path / ".env"), "--profile", "alerts", "config", "--quiet"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr


def test_only_nginx_is_seen_from_outside() -> None:
    services = load("compose/compose.yaml")["services"]
    ports = [port for service in services.values() for port in service.get("ports", ())]

    assert [port for port in ports if not port.startswith("127.0.0.1:")] == ["443:443"]


def test_prometheus_beside_compose_asks_and_tells_whom_the_shipped_one_does() -> None:
    here, shipped = load("compose/prometheus.yml"), load("prometheus/prometheus.yml")

    [ours] = [one for one in shipped["scrape_configs"] if one["job_name"] == "elders-guild"]
    [job] = here["scrape_configs"]
    token = job.pop("authorization")["credentials_file"]
    assert job == ours
    assert here["alerting"] == shipped["alerting"]
    assert here["rule_files"] == shipped["rule_files"]
    assert token.rpartition("/")[2] in load("compose/compose.yaml")["secrets"]


def test_grafana_beside_compose_reaches_what_its_files_name() -> None:
    services = load("compose/compose.yaml")["services"]
    sources = load("grafana/provisioning/datasources/guild.yml")["datasources"]

    reached = {name for name, one in services.items() if "network_mode" not in one}
    reached |= set(services["pod"]["networks"]["default"]["aliases"])
    mounted = {volume.partition(":")[0] for volume in services["grafana"]["volumes"]}
    assert {urlsplit(source["url"]).hostname for source in sources} <= reached
    assert {"../grafana/provisioning", "../grafana/dashboards"} <= mounted


def test_images_are_pinned() -> None:
    compose = load("compose/compose.yaml")["services"].values()
    pods = [one["spec"]["template"]["spec"] for one in core() if "template" in one.get("spec", ())]
    pods += [group["template"]["spec"] for group in ray_groups()]
    images = {service["image"] for service in compose}
    images |= {container["image"] for pod in pods for container in pod["containers"]}
    [ours] = load("kubernetes/kustomization.yaml")["images"]
    tags = {image.partition(":")[2] for image in images if image.startswith("elders-guild:")}

    for image in images - {ours["name"]}:
        name, _, tag = image.rpartition(":")
        assert name, image
        assert re.search(r"\d", tag), image
    assert tags == {ours["newTag"]}


def test_the_image_is_built_from_the_lock_and_runs_as_nobody_special() -> None:
    lines = (DEPLOY / "image/Dockerfile").read_text(encoding="utf-8").splitlines()
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    copied = [
        source
        for line in lines
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
    ]

    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases[0])
    assert any("--verify-hashes" in line for line in lines)
    assert any("--constraints requirements.lock" in line for line in lines)
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    assert any(line.startswith("HEALTHCHECK ") for line in lines)
    for source in copied:
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source


def test_what_an_operator_puts_beside_the_files_is_in_no_image_and_no_commit() -> None:
    image = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    secrets = [
        *("guild.env", ".env.production", "cluster/deploy/compose/.env"),
        *("cluster/deploy/compose/tls/tls.key", "cluster/deploy/compose/alertmanager-secret"),
        *("cluster/deploy/ray/guild.env", "cluster/deploy/ray/ray-secrets.env"),
    ]

    ignored = subprocess.run(
        [shutil.which("git") or "git", "check-ignore", "--no-index", *secrets,
         "cluster/deploy/ray/ray.env"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip

    assert image.index("cluster/deploy") > image.index("!cluster")  # the last that fits counts
    assert [line for line in image if line.startswith("!cluster/deploy")] == [
        "!cluster/deploy/ray/serve.yaml"
    ]
    if ignored.returncode == 128:
        pytest.skip("no checkout of git")
    assert ignored.stdout.split() == secrets
