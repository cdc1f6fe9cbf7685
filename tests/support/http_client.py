"""Somebody with a browser that knows no JavaScript: cookies, forms, redirects."""

import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from typing import Any


class Visitor:
    """Visits pages of a running console."""

    def __init__(self, url: str) -> None:
        self.url, self.jar = url, CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.status, self.at, self.text = 0, "", ""

    def get(self, path: str) -> str:
        """Open a page."""
        return self._open(urllib.request.Request(self._absolute(path)))

    def post(self, path: str, **fields: Any) -> str:
        """Send a form, with the CSRF token of the page that we are on."""
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.text)
        fields["csrfmiddlewaretoken"] = token[1] if token else ""
        data = urllib.parse.urlencode(fields, doseq=True).encode()
        headers = {"Referer": self.at or self.url}
        return self._open(urllib.request.Request(self._absolute(path), data, headers))

    def sign_in(self, name: str, password: str) -> None:
        """Sign in to the admin."""
        self.get("/admin/login/?next=/admin/")
        self.post("/admin/login/?next=/admin/", username=name, password=password)
        assert "logout" in self.text, self.text

    def hidden(self) -> dict[str, list[str]]:
        """The hidden fields of the page, as a confirm page sends them back."""
        pairs = re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', self.text)
        fields: dict[str, list[str]] = {}
        for name, value in pairs:
            if name != "csrfmiddlewaretoken":
                fields.setdefault(name, []).append(value)
        return fields

    def act(self, path: str, action: str, reason: str, answers: Any = (), **fields: Any) -> str:
        """Run an action of a list, confirm it with `answers`, and return the page that follows."""
        self.get(path)
        self.post(path, action=action, index=0, **fields)
        assert "consequence" in self.text, self.text
        return self.post(path, **self.hidden(), **dict(answers), reason=reason, confirm="yes")

    def _absolute(self, path: str) -> str:
        return path if path.startswith("http") else self.url + path

    def _open(self, request: urllib.request.Request) -> str:
        try:
            answer = self.opener.open(request, timeout=60)
        except urllib.error.HTTPError as error:
            answer = error  # type: ignore[assignment]
        with answer:
            self.status, self.at, self.text = answer.status or 0, answer.url, answer.read().decode()
        return self.text
