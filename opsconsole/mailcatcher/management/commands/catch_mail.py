"""`manage.py catch_mail`: the mail catcher, in the foreground until it is told to stop."""

import asyncio
import signal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from opsconsole.environment import read_bool
from opsconsole.mailcatcher.server import HOST, Catcher, listen


class Command(BaseCommand):
    """Catches mails where no mail server is set, and waits idly where one is."""

    help = "Catches the mails of an installation without EMAIL_URL, and relays none."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Catch until told to stop; refuse when the port is taken."""
        asyncio.run(self.catch(settings.MAIL_CATCHER_DIR, settings.INSTANCE.smtp_port))

    async def catch(self, directory: Path | None, port: int) -> None:
        """Listen, unless mails go to a real server."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        if directory is None:
            self.say("EMAIL_URL is set: mails go to that server, and none is caught here.")
            await stop.wait()
            return
        server = await self.listen(directory, port)
        self.say(f"Mails are caught on {HOST}:{port} and kept in {directory}")
        await stop.wait()
        server.close()  # asyncio.run() ends the open conversations

    async def listen(self, directory: Path, port: int) -> asyncio.Server:
        """Open the port, or say in one line why not."""
        try:
            return await listen(Catcher(directory, demo=read_bool("OPSCONSOLE_DEMO")), port=port)
        except OSError as error:
            text = f"The mail catcher can't listen on {HOST}:{port}: {error.strerror}. Set PORT."
            raise CommandError(text) from None

    def say(self, text: str) -> None:
        """Write a line at once, also into a pipe."""
        self.stdout.write(text)
        self.stdout.flush()
