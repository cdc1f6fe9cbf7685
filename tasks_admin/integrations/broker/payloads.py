"""Payloads: messages as the broker stores them. Only JSON is deserialized, which is safe."""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

JSON_TYPES = {"application/json", "json"}


@dataclass(frozen=True, kw_only=True)
class Payload:
    """One message: its exact bytes, which can be put back unchanged."""

    raw: bytes
    priority: int = 0

    @cached_property
    def envelope(self) -> dict[str, Any]:
        """Headers, properties and body; empty if kombu did not write the message."""
        try:
            read = json.loads(self.raw)
        except (ValueError, RecursionError):
            return {}
        return read if isinstance(read, dict) else {}

    @property
    def digest(self) -> str:
        """The SHA-256 of the bytes."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def task_id(self) -> str:
        """The task's id; empty if the message has none."""
        return str(self._header("id") or "")

    @property
    def task(self) -> str:
        """The task's name; empty if the message has none."""
        return str(self._header("task") or "")

    @property
    def content_type(self) -> str:
        """The content type that the message declares for its body."""
        return str(self.envelope.get("content-type") or "")

    @cached_property
    def body(self) -> Any:
        """The body if it is JSON, else None."""
        properties = self._part("properties")
        body = self.envelope.get("body")
        if self.content_type not in JSON_TYPES or not isinstance(body, str):
            return None
        try:
            encoded = properties.get("body_encoding") == "base64"
            return json.loads(base64.b64decode(body) if encoded else body)
        except (ValueError, RecursionError):
            return None

    @property
    def arguments(self) -> tuple[list[Any], dict[str, Any]] | None:
        """The positional and the keyword arguments; None if they can't be read."""
        match self.body:
            case [list() as args, dict() as kwargs, *_]:  # version 2 of Celery's message protocol
                return args, kwargs
            case {"args": list() as args, "kwargs": dict() as kwargs}:  # version 1
                return args, kwargs
        return None

    def _header(self, name: str) -> Any:
        first = self.body if isinstance(self.body, dict) else {}
        return self._part("headers").get(name) or first.get(name)

    def _part(self, name: str) -> dict[str, Any]:
        part = self.envelope.get(name)
        return part if isinstance(part, dict) else {}
