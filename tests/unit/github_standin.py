"""A stand-in for GitHub's REST API: comments, issues, pull requests, artifacts of one repository.

Its answers have the fields of docs.github.com/rest (2022-11-28) that our code reads. ``troubles`` are the answers that
come first, one for each request; ``lost`` POSTs are carried out and answered by 502.
"""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

from rehearsal.serving import Answer, HttpServer, Request

REPOSITORY = "acme/mail"
TOKEN = "ghs_standin"
BOT = "github-actions[bot]"
Json = dict[str, Any]


class GitHubStandin:
    """One repository. Start it with ``with standin.server``."""

    def __init__(self) -> None:
        self.server = HttpServer(self._answer, "127.0.0.1", 0, name="github")
        self.issues: dict[int, Json] = {7: {"number": 7, "pull_request": {}, "state": "open", "body": "", "user": None}}
        self.comments: dict[int, Json] = {}
        self.pulls: list[Json] = []
        self.artifacts: list[Json] = []
        self.archives: dict[int, bytes] = {}
        self.seen: list[Request] = []
        self.troubles: list[Answer] = []
        self.lost = 0

    def say(self, body: str, login: str, number: int = 7) -> int:
        """Let somebody write a comment; return its ID."""
        identity = len(self.comments) + 1
        self.comments[identity] = {"id": identity, "issue": number, "body": body, "user": {"login": login}}
        return identity

    def bodies(self, number: int = 7) -> list[str]:
        """Return the comments of an issue, oldest first."""
        return [comment["body"] for comment in self.comments.values() if comment["issue"] == number]

    def asked(self, method: str) -> list[str]:
        """Return the paths of all requests of one method."""
        return [request.path for request in self.seen if request.method == method]

    def leave(self, name: str, files: dict[str, str], size: int | None = None) -> None:
        """Let the run leave an artifact."""
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
            for file, text in files.items():
                archive.writestr(file, text)
        identity = len(self.artifacts) + 1
        told = len(held.getvalue()) if size is None else size
        self.artifacts.append({"id": identity, "name": name, "size_in_bytes": told, "expired": False})
        self.archives[identity] = held.getvalue()

    def _answer(self, request: Request) -> Answer:
        self.seen.append(request)
        if request.authorization != f"Bearer {TOKEN}":
            return Answer(content={"message": "Bad credentials"}, status=401)
        if self.troubles:
            return self.troubles.pop(0)
        place = request.path.removeprefix(f"/repos/{REPOSITORY}").strip("/").split("/")
        body = json.loads(request.body) if request.body else {}
        answer = {"GET": self._get, "POST": self._post, "PATCH": self._patch}[request.method](place, request, body)
        if request.method == "POST" and self.lost:
            self.lost -= 1
            return Answer(content={"message": "Bad gateway"}, status=502)
        return answer

    def _get(self, place: list[str], request: Request, _body: Json) -> Answer:
        match place:
            case ["issues", number, "comments"]:
                return _page(request, [one for one in self.comments.values() if one["issue"] == int(number)])
            case ["issues"]:
                return _page(request, [one for one in self.issues.values() if one["state"] == request.query["state"]])
            case ["pulls"]:
                return _page(request, self.pulls)
            case ["actions", "runs", _, "artifacts"]:
                return _page(request, self.artifacts, lambda found: {"artifacts": found})
            case ["actions", "artifacts", identity, "zip"]:
                return Answer(content=self.archives[int(identity)], kind="application/zip")
        return Answer(content={"message": "Not Found"}, status=404)

    def _post(self, place: list[str], _request: Request, body: Json) -> Answer:
        match place:
            case ["issues", number, "comments"]:
                identity = self.say(body["body"], BOT, int(number))
                return Answer(content=self.comments[identity], status=201)
            case ["issues"]:
                number_ = len(self.issues) + 7
                self.issues[number_] = {**body, "number": number_, "state": "open", "user": {"login": BOT}}
                return Answer(content=self.issues[number_], status=201)
        return Answer(content={"message": "Not Found"}, status=404)

    def _patch(self, place: list[str], _request: Request, body: Json) -> Answer:
        match place:
            case ["issues", "comments", identity]:
                self.comments[int(identity)] |= body
                return Answer(content=self.comments[int(identity)])
            case ["issues", number]:
                self.issues[int(number)] |= body
                return Answer(content=self.issues[int(number)])
        return Answer(content={"message": "Not Found"}, status=404)


def _page(request: Request, entries: list[Json], wrapped: Callable[[list[Json]], Any] = list) -> Answer:
    size, number = int(request.query["per_page"]), int(request.query["page"])
    return Answer(content=wrapped(entries[(number - 1) * size : number * size]))
