"""OHIF, the released one, on loopback: its page and an Orthanc's DICOMweb under one origin.

`python orthanc-test/ohif.py` brings the npm package into orthanc-test/.ohif, which git ignores. Nothing is built and
none of its dependencies is installed: the package carries the finished page.
"""

import base64
import hashlib
import json
import mimetypes
import subprocess
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError

import pytest

VERSION = "3.13.2"
#: of the package as npm serves it (Subresource Integrity)
INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
HERE = Path(__file__).parent
DIST = HERE / ".ohif" / VERSION
BRING = "python orthanc-test/ohif.py"

#: one data source, the proxy below; no dialogue in front of the picture
_CONFIG = {
    "routerBasename": None,
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "maxNumberOfWebWorkers": 2,
    "showWarningMessageForCrossOrigin": False,
    "showCPUFallbackMessage": False,
    "showLoadingIndicator": True,
    "investigationalUseDialog": {"option": "never"},
    "defaultDataSourceName": "dicomweb",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "dicomweb",
            "configuration": {
                "friendlyName": "Orthanc",
                "name": "orthanc",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "qidoSupportsIncludeField": False,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "omitQuotationForMultipartRequest": True,
                "bulkDataURI": {"enabled": True},
            },
        }
    ],
}


def bring() -> None:
    """Download the package with npm, compare it with INTEGRITY, unpack its page. Nothing happens where it is there.

    Raises subprocess.CalledProcessError where npm fails, ValueError where the package is another one.
    """
    if (DIST / "index.html").exists():
        return
    DIST.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DIST.parent) as folder:
        subprocess.run(
            ["npm", "pack", "--silent", "--prefer-offline", f"@ohif/app@{VERSION}"],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        [archive] = Path(folder).glob("*.tgz")
        came = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if came != INTEGRITY:
            raise ValueError(f"@ohif/app {VERSION} came as {came}, not as {INTEGRITY}: it is not the package tested")
        # the maps are for debuggers alone, a fifth of it
        subprocess.run(["tar", "-xzf", archive, "--exclude=*.map", "package/dist"], cwd=folder, check=True)
        (Path(folder) / "package" / "dist").rename(DIST)


@contextmanager
def served(orthanc_port: int) -> Iterator[str]:
    """OHIF before the Orthanc at `orthanc_port`; its address, without a slash at the end."""
    if not (DIST / "index.html").exists():
        pytest.skip(f"OHIF {VERSION} is not here (48 MB over npm): {BRING}")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(orthanc_port))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(orthanc_port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path.startswith("/dicom-web/"):
                self._answer(*_forwarded(f"http://127.0.0.1:{orthanc_port}{self.path}", dict(self.headers)))
            elif self.path.startswith("/app-config.js"):
                self._answer(200, "text/javascript", f"window.config = {json.dumps(_CONFIG)};".encode())
            else:
                self._answer(200, *_file(self.path))

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            # the viewer's codecs want shared memory, which a browser gives to isolated pages alone
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    return Handler


def _file(path: str) -> tuple[str, bytes]:
    """A file of the page; every other address is the application's own, which begins with its index."""
    file = (DIST / path.split("?")[0].lstrip("/")).resolve()
    if not (file.is_file() and file.is_relative_to(DIST.resolve())):
        file = DIST / "index.html"
    kind = "application/wasm" if file.suffix == ".wasm" else mimetypes.guess_type(file.name)[0]
    return kind or "application/octet-stream", file.read_bytes()


def _forwarded(url: str, headers: dict[str, str]) -> tuple[int, str, bytes]:
    """What Orthanc answers; with the browser's Host, so that the addresses in it lead back here."""
    kept = {name: headers[name] for name in ("Accept", "Host") if name in headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=kept), timeout=60) as response:
            return response.status, response.headers.get("Content-Type", "application/json"), response.read()
    except HTTPError as error:
        return error.code, error.headers.get("Content-Type", "text/plain"), error.read()


if __name__ == "__main__":
    bring()
    print(f"OHIF {VERSION} is in {DIST}")
