"""Payloads: messages as the broker holds them, read as far as that can be done without harm."""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

JSON = {"application/json", "json"}


@dataclass(frozen=True, kw_only=True)
class Payload:
    """One message: the very bytes, to be put back as they are. Only JSON is ever read."""

    raw: bytes
    priority: int = 0

    @cached_property
    def envelope(self) -> dict[str, Any]:
        """Headers, properties and body; empty when it is none of kombu's."""
        try:
            read = json.loads(self.raw)
        except (ValueError, RecursionError):
            return {}
        return read if isinstance(read, dict) else {}

    @property
    def digest(self) -> str:
        """Names these very bytes."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def task_id(self) -> str:
        """The task's id; empty when it has none."""
        return str(self._header("id") or "")

    @property
    def task(self) -> str:
        """The task's name; empty when it has none."""
        return str(self._header("task") or "")

    @property
    def content_type(self) -> str:
        """What the body is said to be."""
        return str(self.envelope.get("content-type") or "")

    @cached_property
    def body(self) -> Any:
        """The body, when it is JSON; else None. Nothing else is deserialised."""
        properties = self._part("properties")
        body = self.envelope.get("body")
        if self.content_type not in JSON or not isinstance(body, str):
            return None
        try:
            encoded = properties.get("body_encoding") == "base64"
            return json.loads(base64.b64decode(body) if encoded else body)
        except (ValueError, RecursionError):
            return None

    @property
    def arguments(self) -> tuple[list[Any], dict[str, Any]] | None:
        """The positional and the named arguments; None when they can't be read."""
        match self.body:
            case [list() as args, dict() as kwargs, *_]:  # Celery's second protocol
                return args, kwargs
            case {"args": list() as args, "kwargs": dict() as kwargs}:  # its first
                return args, kwargs
        return None

    def _header(self, name: str) -> Any:
        first = self.body if isinstance(self.body, dict) else {}
        return self._part("headers").get(name) or first.get(name)

    def _part(self, name: str) -> dict[str, Any]:
        part = self.envelope.get(name)
        return part if isinstance(part, dict) else {}
