"""A Hub on this machine: the routes that a push and a load use, every commit kept, and faults on demand.

with HubServer() as hub:
    hub.fail("/commit/", times=1)
    ...  # a process with HF_ENDPOINT=hub.url, HF_TOKEN=hub_server.TOKEN and HF_HUB_DISABLE_XET=1
    hub.repos["tester/model"].commits[-1].files["config.json"]
"""

import base64
import hashlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "hf_dummy_0123456789abcdef"
"""The only token that may write."""

USER = "tester"
FOR_EVER = 10**9
CUT, LOST = 0, -1  # in place of a status
LFS_SIZE = 100_000
"""Files of so many bytes, and all weights, go the way of large files."""


@dataclass(frozen=True)
class File:
    """A file of a commit."""

    content: bytes
    large: bool

    @property
    def oid(self) -> str:
        """As git, or git-lfs, names the content."""
        if self.large:
            return hashlib.sha256(self.content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()


@dataclass(frozen=True)
class Commit:
    """The whole of a repository at one moment."""

    oid: str
    title: str
    files: dict[str, File]


@dataclass
class Repo:
    """The commits of a repository, the last of which is `main`, and those of other branches."""

    commits: list[Commit] = field(default_factory=list)
    branches: dict[str, list[Commit]] = field(default_factory=dict)

    def add(self, title: str, files: dict[str, File], branch: str = "main") -> Commit:
        commits = self.branches.get(branch, self.commits)
        names = "".join(f"{name}{file.oid}" for name, file in sorted(files.items()))
        oid = hashlib.sha1(f"{branch}{len(commits)}{title}{names}".encode()).hexdigest()
        commits.append(Commit(oid, title, files))
        return commits[-1]

    def at(self, revision: str) -> Commit | None:
        if revision == "main" or revision in self.branches:
            return self.branches.get(revision, self.commits)[-1]
        every = [*self.commits, *(commit for commits in self.branches.values() for commit in commits)]
        return next((commit for commit in every if commit.oid == revision), None)


@dataclass(frozen=True)
class Request:
    """What arrived, and how it was answered: a status, or 0 where the connection was cut."""

    method: str
    path: str
    authorization: str | None
    status: int


class HubServer:
    """The server, which runs within a `with`."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[Request] = []
        self.wrong_uploads: list[str] = []
        """Large files whose bytes were not those that were announced."""
        self.slow: tuple[str, float] = ("no such request", 0.0)
        """Part of a `METHOD path`, and the seconds that such requests wait for their answer."""
        self._faults: list[list] = []  # part of a path, status, how many times more
        self._lock = threading.Lock()

    def __enter__(self) -> "HubServer":
        server = self

        class Handler(_Handler):
            hub = server

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fail(self, part: str, *, status: int = 503, times: int = 1) -> None:
        """Answer the next requests whose `METHOD path` has `part` in it with `status`."""
        self._faults.append([part, status, times])

    def cut(self, part: str = "PUT /lfs/", *, times: int = 1) -> None:
        """Read half of what the next such requests send, then cut the connection."""
        self._faults.append([part, CUT, times])

    def lose_answer(self, part: str, *, times: int = 1) -> None:
        """Do what the next such requests ask for, then cut the connection."""
        self._faults.append([part, LOST, times])

    def heal(self) -> None:
        """Take back all faults."""
        self._faults.clear()

    def stored(self) -> dict[str, bytes]:
        """All bytes that were ever kept, by a name."""
        found = {f"blob {oid}": content for oid, content in self.blobs.items()}
        for name, repo in self.repos.items():
            for commit in repo.commits:
                found[f"{name} {commit.oid} title"] = commit.title.encode()
                found |= {f"{name} {commit.oid} {path}": file.content for path, file in commit.files.items()}
        return found

    def fault(self, request: str) -> int | None:
        """The status with which a request is to fail, if it is."""
        with self._lock:
            for fault in self._faults:
                if fault[0] in request and fault[2] > 0:
                    fault[2] -= 1
                    return fault[1]
        return None


def serving() -> Iterator[HubServer]:
    """A fixture's function: a server for as long as the fixture's scope."""
    with HubServer() as server:
        yield server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_GET(self):
        self._serve()

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815

    def log_message(self, *_):
        pass

    def _serve(self) -> None:
        address = urlsplit(self.path)
        self.path_only = unquote(address.path)
        fault = self.hub.fault(f"{self.command} {self.path_only}")
        if fault == CUT:
            self.rfile.read(int(self.headers["Content-Length"] or 0) // 2)
            return self._cut()
        body = self._body()
        if self.hub.slow[0] in f"{self.command} {self.path_only}":
            time.sleep(self.hub.slow[1])
        self.answer_is_lost = fault == LOST
        if fault not in (None, LOST):
            return self._json({"error": "not now"}, fault)
        for method, pattern, route in ROUTES:
            if method == self.command and (match := re.fullmatch(pattern, self.path_only)):
                if method in ("POST", "PUT") and not self._may_write():
                    return self._json({"error": "Invalid credentials"}, 401)
                return getattr(self, f"_{route}")(*match.groups(), body)
        return self._json({"error": "no such route"}, 404)

    def _may_write(self) -> bool:
        """Everything but the upload itself, whose address is a secret in itself, needs the token."""
        return self.path_only.startswith("/lfs/") or self.headers["Authorization"] == f"Bearer {TOKEN}"

    def _body(self) -> bytes:
        if self.headers["Transfer-Encoding"] != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"] or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _cut(self) -> None:
        self._remember(CUT)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # at once: a reset
        self.close_connection = True
        self.connection.close()

    def _remember(self, status: int) -> None:
        self.hub.requests.append(Request(self.command, self.path_only, self.headers["Authorization"], status))

    def _send(self, content: bytes, status: int, headers: dict[str, str]) -> None:
        if self.answer_is_lost:
            return self._cut()
        self._remember(status)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        return None

    def _json(self, values: object, status: int = 200, **headers: str) -> None:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self._send(json.dumps(values).encode(), status, {"Content-Type": "application/json", **names})

    def _missing(self, code: str, **headers: str) -> None:
        self._json({"error": code}, 404, X_Error_Code=code, **headers)

    def _find(self, name: str, revision: str) -> Commit | None:
        """A commit, or the answer that there is none."""
        repo = self.hub.repos.get(name)
        commit = repo.at(revision) if repo else None
        if commit is None:
            self._missing("RevisionNotFound" if repo else "RepoNotFound")
        return commit

    def _whoami(self, body: bytes) -> None:
        self._json({"name": USER, "type": "user", "orgs": [], "auth": {}})

    def _create(self, body: bytes) -> None:
        wanted = json.loads(body)
        name = f"{wanted.get('organization') or USER}/{wanted['name']}"
        exists = name in self.hub.repos
        if not exists:
            self.hub.repos[name] = Repo()
            self.hub.repos[name].add("initial commit", {".gitattributes": File(b"*.safetensors filter=lfs\n", False)})
        self._json({"url": f"{self.hub.url}/{name}", "name": name}, 409 if exists else 200)

    def _validate(self, body: bytes) -> None:
        content = json.loads(body)["content"]
        match = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        if not match or not isinstance(yaml.safe_load(match[1]), dict):
            return self._json({"errors": [{"message": "the header must be a mapping"}], "warnings": []}, 400)
        return self._json({"errors": [], "warnings": []})

    def _preupload(self, name: str, revision: str, body: bytes) -> None:
        if commit := self._find(name, revision):
            files = []
            for file in json.loads(body)["files"]:
                large = file["path"].endswith(".safetensors") or file["size"] >= LFS_SIZE
                there = commit.files.get(file["path"])
                files.append(
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if large else "regular",
                        "shouldIgnore": False,
                        "oid": there.oid if there else None,
                    }
                )
            self._json({"files": files})

    def _batch(self, name: str, body: bytes) -> None:
        objects = []
        for wanted in json.loads(body)["objects"]:
            answer = {"oid": wanted["oid"], "size": wanted["size"]}
            if wanted["oid"] not in self.hub.blobs:
                upload, verify = f"{self.hub.url}/lfs/{wanted['oid']}", f"{self.hub.url}/lfs-verify"
                answer["actions"] = {"upload": {"href": upload}, "verify": {"href": verify}}
            objects.append(answer)
        self._json({"transfer": "basic", "objects": objects})

    def _upload(self, oid: str, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            self.hub.wrong_uploads.append(oid)
            return self._json({"error": "sha256 mismatch"}, 422)
        self.hub.blobs[oid] = body
        return self._send(b"", 200, {})

    def _verify(self, body: bytes) -> None:
        wanted = json.loads(body)
        right = len(self.hub.blobs.get(wanted["oid"], b"")) == wanted["size"]
        self._json({}, 200 if right else 422)

    def _commit(self, name: str, revision: str, body: bytes) -> None:
        before = self._find(name, revision)
        if before is None:
            return None
        files, title = dict(before.files), ""
        for line in map(json.loads, body.splitlines()):
            kind, value = line["key"], line["value"]
            if kind == "header":
                title = value["summary"]
            elif kind == "file":
                files[value["path"]] = File(base64.b64decode(value["content"]), large=False)
            elif kind == "lfsFile":
                if value["oid"] not in self.hub.blobs:
                    return self._json({"error": "no such large file"}, 400)
                files[value["path"]] = File(self.hub.blobs[value["oid"]], large=True)
            elif kind == "deletedFile":
                del files[value["path"]]
        made = self.hub.repos[name].add(title, files, revision)
        url = f"{self.hub.url}/{name}/commit/{made.oid}"
        return self._json({"success": True, "commitOid": made.oid, "commitUrl": url})

    def _branch(self, name: str, branch: str, body: bytes) -> None:
        if commit := self._find(name, "main"):
            exists = branch in self.hub.repos[name].branches
            self.hub.repos[name].branches.setdefault(branch, [commit])
            self._json({}, 409 if exists else 200)

    def _resolve(self, name: str, revision: str, path: str, body: bytes) -> None:
        commit = self._find(name, revision)
        if commit is None:
            return None
        if path not in commit.files:
            return self._missing("EntryNotFound", X_Repo_Commit=commit.oid)
        file = commit.files[path]
        headers = {"ETag": f'"{file.oid}"', "X-Repo-Commit": commit.oid, "Content-Type": "application/octet-stream"}
        if file.large:
            headers |= {"X-Linked-Etag": f'"{file.oid}"', "X-Linked-Size": str(len(file.content))}
        return self._send(file.content, 200, headers)

    def _info(self, name: str, revision: str | None, body: bytes) -> None:
        if commit := self._find(name, revision or "main"):
            siblings = [{"rfilename": path} for path in commit.files]
            about = {"private": False, "disabled": False, "gated": False, "tags": [], "downloads": 0, "likes": 0}
            self._json({"_id": name, "id": name, "modelId": name, "sha": commit.oid, "siblings": siblings, **about})

    def _tree(self, name: str, revision: str, folder: str | None, body: bytes) -> None:
        if commit := self._find(name, revision):
            entries = []
            for path, file in commit.files.items():
                if not folder or path.startswith(f"{folder}/"):
                    entry = {"type": "file", "path": path, "size": len(file.content), "oid": file.oid}
                    large = {"oid": file.oid, "size": len(file.content), "pointerSize": 127}
                    entries.append(entry | ({"lfs": large} if file.large else {}))
            self._json(entries)


NAME = r"/([^/]+/[^/]+)"
ROUTES = [
    ("GET", "/api/whoami-v2", "whoami"),
    ("POST", "/api/repos/create", "create"),
    ("POST", "/api/validate-yaml", "validate"),
    ("POST", rf"/api/models{NAME}/preupload/([^/]+)", "preupload"),
    ("POST", rf"{NAME}\.git/info/lfs/objects/batch", "batch"),
    ("PUT", "/lfs/([0-9a-f]{64})", "upload"),
    ("POST", "/lfs-verify", "verify"),
    ("POST", rf"/api/models{NAME}/commit/([^/]+)", "commit"),
    ("POST", rf"/api/models{NAME}/branch/(.+)", "branch"),
    ("GET", rf"{NAME}/resolve/([^/]+)/(.+)", "resolve"),
    ("HEAD", rf"{NAME}/resolve/([^/]+)/(.+)", "resolve"),
    ("GET", rf"/api/models{NAME}(?:/revision/([^/]+))?", "info"),
    ("GET", rf"/api/models{NAME}/tree/([^/]+)(?:/(.+))?", "tree"),
]
