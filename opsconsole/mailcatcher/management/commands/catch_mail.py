"""`manage.py catch_mail`: run the mail catcher in the foreground."""

import asyncio
import signal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from opsconsole.environment import read_bool
from opsconsole.mailcatcher.server import HOST, StoringHandler, listen


class Command(BaseCommand):
    """Stores all emails; does nothing if EMAIL_URL is set."""

    help = "Run the mail catcher: store all emails, deliver none. Does nothing if EMAIL_URL is set."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until SIGTERM or SIGINT; raise `CommandError` if the port is in use."""
        asyncio.run(self.run(settings.MAIL_CATCHER_DIR, settings.INSTANCE.smtp_port))

    async def run(self, directory: Path | None, port: int) -> None:
        """Listen, unless a mail server is configured."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        if directory is None:
            self.write("EMAIL_URL is set: emails go to that server, the mail catcher is idle.")
            await stop.wait()
            return
        server = await self.listen(directory, port)
        self.write(f"The mail catcher listens on {HOST}:{port} and stores emails in {directory}")
        await stop.wait()
        server.close()  # asyncio.run() ends the open connections

    async def listen(self, directory: Path, port: int) -> asyncio.Server:
        """Listen on the port; raise `CommandError` if that fails."""
        try:
            return await listen(
                StoringHandler(directory, demo=read_bool("OPSCONSOLE_DEMO")), port=port
            )
        except OSError as error:
            raise CommandError(
                f"The mail catcher cannot listen on {HOST}:{port}: {error.strerror}. "
                "Set PORT to the first of three consecutive free ports."
            ) from None

    def write(self, text: str) -> None:
        """Write a line and flush it: the output may be a pipe."""
        self.stdout.write(text)
        self.stdout.flush()
