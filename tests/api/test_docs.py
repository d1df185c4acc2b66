"""The description of the API, and its pages, which ask no other host."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI

from app.api.problems import KINDS
from tests.api.world import World, assert_problem

CLASSIFY = ["model", "version", "label", "top_k", "timeout_ms", "priority"]
CLASSIFY_STATUSES = "200 400 401 403 404 413 415 422 429 500 503 504"
SAMPLES_STATUSES = "200 401 403 404 422 429 500 503 504"
READINESS_STATUSES = "200 500 503"
LOAD_STATUSES = "200 202 401 403 404 409 422 429 500 503"
PUT_STATUSES = "200 202 400 401 403 404 413 422 429 500 503 504 507"
PUT_OR_CONFLICT_STATUSES = "200 202 400 401 403 404 409 413 422 429 500 503 504 507"
DELETE_STATUSES = "200 202 401 403 404 422 429 500 503 507"

# Every operation with its parameters and statuses: a change here is a change of the contract.
OPERATIONS: dict[tuple[str, str], tuple[list[str], str]] = {
    ("post", "/v1/classify"): (CLASSIFY, CLASSIFY_STATUSES),
    ("post", "/v1/classify/batch"): (CLASSIFY, CLASSIFY_STATUSES),
    ("get", "/v1/models"): ([], "200 401 403 429 500"),
    ("get", "/v1/models/{name}"): (["name"], "200 401 403 404 429 500"),
    ("get", "/v1/models/{name}/versions/{version}"): (
        ["name", "version"],
        "200 401 403 404 422 429 500",
    ),
    ("get", "/v1/models/{name}/samples"): (
        ["name", "limit", "offset", "label"],
        SAMPLES_STATUSES,
    ),
    ("get", "/v1/models/{name}/samples/{index}/image"): (
        ["name", "index"],
        "200 304 401 403 404 422 429 500 503 504",
    ),
    ("get", "/v1/models/{name}/samples/{index}/real"): (["name", "index"], SAMPLES_STATUSES),
    ("post", "/v1/models/{name}/samples/{index}/predict"): (
        ["name", "index", *CLASSIFY[1:]],
        "200 400 401 403 404 413 422 429 500 503 504",
    ),
    ("get", "/livez"): ([], "200 500 503"),
    ("get", "/readyz"): ([], READINESS_STATUSES),
    ("get", "/healthz"): ([], READINESS_STATUSES),
    ("get", "/health"): ([], READINESS_STATUSES),
    ("get", "/ping"): ([], READINESS_STATUSES),
    ("get", "/v2/health/live"): ([], "200 500 503"),
    ("get", "/v2/health/ready"): ([], READINESS_STATUSES),
    ("get", "/metrics"): ([], "200 401 403 404 429 500"),
    ("get", "/v1/debug/requests"): ([], "200 401 403 404 429 500"),
    ("post", "/v1/admin/models/{name}/load"): (["name", "wait_s", "version"], LOAD_STATUSES),
    ("post", "/v1/admin/models/{name}/unload"): (["name", "wait_s", "version"], LOAD_STATUSES),
    ("put", "/v1/admin/models/{name}/labels/{label}"): (
        ["name", "label", "wait_s"],
        PUT_OR_CONFLICT_STATUSES,
    ),
    ("delete", "/v1/admin/models/{name}/labels/{label}"): (
        ["name", "label", "wait_s"],
        DELETE_STATUSES,
    ),
    ("post", "/v1/admin/models/{name}/rollback"): (
        ["name", "wait_s"],
        "200 202 401 403 404 409 422 429 500 503 507",
    ),
    ("post", "/v1/admin/reload"): (["wait_s"], "200 202 401 403 404 422 429 500 503"),
    ("put", "/v1/admin/models/{name}/canary"): (["name", "wait_s"], PUT_OR_CONFLICT_STATUSES),
    ("delete", "/v1/admin/models/{name}/canary"): (["name", "wait_s"], DELETE_STATUSES),
    ("put", "/v1/admin/models/{name}/shadow"): (["name", "wait_s"], PUT_STATUSES),
    ("delete", "/v1/admin/models/{name}/shadow"): (["name", "wait_s"], DELETE_STATUSES),
}
BINARY = {"type": "string", "format": "binary"}


async def fetch(world: World) -> dict[str, Any]:
    response = await world.client.get("/openapi.json")
    assert response.headers["content-type"] == "application/json"
    document: dict[str, Any] = response.json()
    return document


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


async def test_document_is_valid_and_its_references_lead_somewhere(world: World) -> None:
    document = await fetch(world)
    OpenAPI.model_validate(document)
    schemas = document["components"]["schemas"]
    referred = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert referred == set(schemas)


async def test_document_has_every_operation_parameter_and_status(world: World) -> None:
    found = {
        key: (
            [parameter["name"] for parameter in operation.get("parameters", [])],
            " ".join(sorted(operation["responses"])),
        )
        for key, operation in operations(await fetch(world)).items()
    }
    assert found == OPERATIONS


async def test_every_operation_and_parameter_is_explained(world: World) -> None:
    found = operations(await fetch(world))
    identities = [operation["operationId"] for operation in found.values()]
    assert len(set(identities)) == len(identities)
    for parameter in found["post", "/v1/classify"]["parameters"]:
        assert "type" in parameter["schema"]  # and not "or null"
    for operation in found.values():
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        for parameter in operation.get("parameters", []):
            assert parameter["description"]


async def test_every_error_is_a_problem_document_with_an_example_that_fits(world: World) -> None:
    for key, operation in operations(await fetch(world)).items():
        for status, response in operation["responses"].items():
            is_health = "/v1/" not in key[1] and status == "503"
            if status in ("200", "202", "304") or is_health:
                continue
            content = response["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert content["examples"]
            for code, example in content["examples"].items():
                assert example["value"]["code"] == code
                assert example["value"]["status"] == int(status) == KINDS[code].status
            assert ("Retry-After" in response["headers"]) == (status in ("429", "503"))


async def test_every_field_of_an_answer_is_explained(world: World) -> None:
    schemas = (await fetch(world))["components"]["schemas"]
    for name in ("ClassifyResponse", "BatchResponse", "TimingEntry", "VersionSummary", "Problem",
                 "ModelSummary", "AdminResponse", "CanaryRequest", "CanarySummary", "LabelRequest",
                 "ShadowPlan", "ShadowSummary", "SampleEntry", "SamplesResponse", "ActualEntry",
                 "SamplePredictResponse"):  # fmt: skip
        for field, schema in schemas[name]["properties"].items():
            assert "description" in schema or "$ref" in schema or field == "results"


async def test_swagger_ui_can_upload_a_file_both_ways(world: World) -> None:
    found = operations(await fetch(world))
    one = found["post", "/v1/classify"]["requestBody"]["content"]
    part = one["multipart/form-data"]["schema"]["properties"]["file"]
    assert part.items() >= BINARY.items()
    for kind in ("png", "jpeg", "webp", "bmp", "gif", "tiff"):
        assert one[f"image/{kind}"]["schema"] == BINARY
    assert one["application/octet-stream"]["schema"] == BINARY
    several = found["post", "/v1/classify/batch"]["requestBody"]["content"]
    parts = several["multipart/form-data"]["schema"]["properties"]["files"]
    assert (parts["type"], parts["items"]) == ("array", BINARY)


async def test_every_route_is_described_but_the_pages(world: World) -> None:
    pages = {
        "/", "/playground/{name}", "/docs", "/redoc", "/openapi.json", "/favicon.ico",
        "/docs/assets/{name}",
    }  # fmt: skip
    paths = {getattr(route, "path", "") for route in world.app.routes}
    assert paths - pages == {path for _, path in OPERATIONS}


class Links(HTMLParser):
    """Collects what a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("href", "src", "spec-url") and value is not None:
                self.urls.append(value)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
async def test_page_loads_from_this_server_only(world: World, path: str) -> None:
    response = await world.client.get(path)
    assert response.headers["content-type"].startswith("text/html")
    urls = [*Links(response.text).urls, *re.findall(r"url: '([^']*)'", response.text)]
    assert "/openapi.json" in urls
    assert any(url.endswith(".js") for url in urls)
    for url in urls:
        assert re.fullmatch(r"/[^/].*", url)
        assert (await world.client.get(url)).status_code == 200
    assert "//" not in re.sub(r"<!--.*?-->|//[^\"']*\n", "", response.text).replace("://", ":")
    # What their scripts might still ask of another host, the browser refuses.
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'self' ")
    assert "http" not in policy
    assert "*" not in policy


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/docs/assets/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("/docs/assets/swagger-ui.css", "text/css; charset=utf-8"),
        ("/docs/assets/redoc.standalone.js", "text/javascript; charset=utf-8"),
        ("/docs/assets/favicon.png", "image/png"),
        ("/favicon.ico", "image/png"),
    ],
)
async def test_parts_of_the_pages_are_kept_by_browsers(
    world: World, path: str, content_type: str
) -> None:
    response = await world.client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == content_type
    assert response.headers["cache-control"] == "public, max-age=86400"
    assert response.headers["etag"]


@pytest.mark.parametrize("name", ["README.md", "..%2Fdocs%2FREADME.md", "%2e%2e"])
async def test_nothing_else_of_their_folder_is_given(world: World, name: str) -> None:
    assert_problem(await world.client.get(f"/docs/assets/{name}"), 404, "not_found")
