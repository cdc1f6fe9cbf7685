"""The two steps of a user import, as a browser submits them."""

import io
import re
from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from openpyxl import Workbook

IMPORT = "/admin/auth/user/import/"
PROCESS = "/admin/auth/user/process_import/"


def workbook(*rows: list[Any]) -> bytes:
    book, file = Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(file)
    return file.getvalue()


def upload(client: Client, data: str | bytes, *, xlsx: bool = False) -> Any:
    data = data.encode() if isinstance(data, str) else data
    file = SimpleUploadedFile("users.xlsx" if xlsx else "users.csv", data)
    answer = client.post(IMPORT, {"import_file": file, "format": "01"[xlsx], "resource": "0"})
    assert answer.status_code == 200
    return answer


def hidden(page: Any) -> dict[str, str]:
    """The confirm form's fields; none when the file was refused."""
    text = page.content.decode().partition("process_import")[2].partition("</form>")[0]
    return dict(re.findall(r'name="(\w+)" value="([^"]*)"', text)) | (
        {"resource": "0"} if text else {}
    )


def confirm(client: Client, page: Any) -> Any:
    form = hidden(page)
    assert form, page.content.decode()
    return client.post(PROCESS, form, follow=True)


def refusal(page: Any) -> str:
    """The errors of a refused file."""
    assert not hidden(page), "it was accepted"
    found = re.findall(
        r'(?s)class="(?:errornote|errorlist)".*?</table>|class="errorlist.*?</ul>',
        page.content.decode(),
    )
    assert found
    return re.sub(r"\s+|<[^>]*>", " ", " ".join(found))
