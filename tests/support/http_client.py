"""An HTTP client without JavaScript: cookies, forms, redirects."""

import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from typing import Any

#: Seconds. A crowd of requests on a busy machine takes long; a hung server fails the test anyway.
REQUEST_TIMEOUT = 300


class HTTPClient:
    """Requests pages of a running console; holds the last response."""

    def __init__(self, url: str) -> None:
        self.url, self.jar = url, CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.status, self.current_url, self.text = 0, "", ""

    def get(self, path: str) -> str:
        """Request a page."""
        return self._open(urllib.request.Request(self._absolute(path)))

    def post(self, path: str, **fields: Any) -> str:
        """Submit a form, with the CSRF token of the current page."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.text)
        fields["csrfmiddlewaretoken"] = token[1] if token else ""
        data = urllib.parse.urlencode(fields, doseq=True).encode()
        headers = {"Referer": self.current_url or self.url}
        return self._open(urllib.request.Request(self._absolute(path), data, headers))

    def sign_in(self, name: str, password: str) -> None:
        """Sign in to the admin."""
        self.get("/admin/login/?next=/admin/")
        self.post("/admin/login/?next=/admin/", username=name, password=password)
        assert "logout" in self.text, self.text

    def hidden_fields(self) -> dict[str, list[str]]:
        """Return the hidden fields of the current page, except its CSRF token."""
        pairs = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', self.text)
        fields: dict[str, list[str]] = {}
        for name, value in pairs:
            if name != "csrfmiddlewaretoken":
                fields.setdefault(name, []).append(value)
        return fields

    def run_action(
        self, path: str, action: str, reason: str, answers: Any = (), **fields: Any
    ) -> str:
        """Run a changelist action, confirm it with `answers`, and return the page that follows."""
        self.get(path)
        self.post(path, action=action, index=0, **fields)
        assert "consequence" in self.text, self.text
        return self.post(
            path, **self.hidden_fields(), **dict(answers), reason=reason, confirm="yes"
        )

    def _absolute(self, path: str) -> str:
        return path if path.startswith("http") else self.url + path

    def _open(self, request: urllib.request.Request) -> str:
        try:
            response = self.opener.open(request, timeout=REQUEST_TIMEOUT)
        except urllib.error.HTTPError as error:
            response = error  # type: ignore[assignment]
        with response:
            self.status, self.current_url = response.status or 0, response.url
            self.text = response.read().decode()
        return self.text
