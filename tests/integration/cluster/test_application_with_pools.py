"""A Ray that is handed nothing but the Serve config of the clusters."""

import httpx
import pytest
import yaml

from benchmarks.local_stack import started
from tests.fixtures.services import service_folder
from tests.integration.cluster.stack_process import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(600)]


def test_the_application_brings_its_pools_along() -> None:
    config = yaml.safe_load((ROOT / "cluster" / "deploy" / "ray" / "serve.yaml").read_text())
    config["http_options"]["host"] = "127.0.0.1"
    config["proxy_location"] = "HeadOnly"

    with service_folder() as folder:
        file = folder / "serve.yaml"
        file.write_text(yaml.safe_dump(config))
        arguments = ["--serve-config", str(file), "--without-pools"]
        with started(folder / "data", arguments) as stack:
            answer = httpx.get(f"{stack.api_url}/readyz", timeout=10)

    assert answer.status_code == 200
    assert set(answer.json()["parts"].values()) == {True}
