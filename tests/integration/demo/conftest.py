"""One running demo for the tests of this folder: all real, on free ports, with a user whom the test plays."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from midas.demo.internet import Account, Internet, InternetOptions, serve_internet
from midas.demo.options import DemoOptions, Ports
from midas.demo.supervisor import Demo

TOKEN = "7000000001:AAHtestTokenThatMustNeverAppearInALog12"


@dataclass
class Stage:
    """A running demo, the messenger that its users are in, and what the person at the screen was told."""

    demo: Demo
    internet: Internet
    folder: Path
    said: list[str]

    def account(self, user_id: int) -> Account:
        """Return the telephone of a user whom the test plays."""
        return self.internet.account(user_id)

    def log(self, name: str) -> Path:
        """Return the log of one process, such as ``bot``."""
        return self.demo.folder.logs / f"midas-{name}.jsonl"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Run the whole demo, its Telegram being the test's own, with people in it besides the test."""
    folder = tmp_path_factory.mktemp("demo")
    options = DemoOptions(data=folder / "data", keep_data=False, ports=Ports.free(2))
    async with serve_internet(InternetOptions(token=TOKEN, users=40)) as internet:
        environ = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "TELEGRAM_BOT_TOKEN": TOKEN,
            "TELEGRAM_API_URL": internet.url,
        }
        said: list[str] = []
        async with Demo(options, environ, say=said.append) as demo:
            yield Stage(demo, internet, folder, said)
