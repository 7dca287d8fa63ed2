"""A person's telephone: what they can do to a bot, and what they see of it."""

import asyncio
import re
from typing import Any

from midas.demo.internet.exchange import Exchange, Incoming, document_of

_COMMAND = re.compile(r"/\w+")


class Account:
    """One person's account in the messenger; whoever plays the person (a script, a test) holds it."""

    def __init__(
        self, exchange: Exchange, user_id: int, first_name: str = "Ada", language: str = "en"
    ) -> None:
        """Open the person's chat with the bot."""
        self._exchange = exchange
        self._profile = {
            "id": user_id,
            "is_bot": False,
            "first_name": first_name,
            "username": f"{first_name.lower()}_{user_id}",
            "language_code": language,
        }
        self.chat = exchange.open_chat({**self._profile})

    @property
    def user_id(self) -> int:
        """The person's id, which is also the id of the chat."""
        return self.chat.id

    def write(self, text: str) -> int | None:
        """Send a text message; return the id of its update."""
        content: dict[str, Any] = {"text": text}
        command = _COMMAND.match(text)
        if command:
            content["entities"] = [{"type": "bot_command", "offset": 0, "length": command.end()}]
        return self._post(content)

    def send_document(self, name: str, data: bytes, caption: str = "") -> int | None:
        """Send a file; return the id of its update."""
        stored = self._exchange.store_file(name, data)
        content: dict[str, Any] = {"document": document_of(stored)}
        if caption:
            content["caption"] = caption
        return self._post(content)

    def send(self, content: dict[str, Any]) -> int | None:
        """Send any other content of a Bot API message (a sticker, a place); return the id of its update."""
        return self._post(content)

    def press(self, incoming: Incoming, data: str) -> int | None:
        """Press the button that carries `data` under a message; return the id of the update."""
        if incoming.message is None:
            raise ValueError("only a message has buttons")
        shown = self.chat.messages.get(incoming.message["message_id"], incoming.message)
        query = {
            "id": self._exchange.new_callback(self.chat.id),
            "from": self._profile,
            "message": dict(shown),
            "chat_instance": str(self.chat.id),
            "data": data,
        }
        return self._exchange.mailbox.put("callback_query", query)

    async def look(self, seconds: float) -> Incoming | None:
        """Wait up to so many seconds for the next thing on the screen; None when nothing came."""
        try:
            async with asyncio.timeout(seconds):
                return await self.chat.inbox.get()
        except TimeoutError:
            return None

    def look_away(self) -> None:
        """Forget what is on the screen and has not been read."""
        while not self.chat.inbox.empty():
            self.chat.inbox.get_nowait()

    def _post(self, content: dict[str, Any]) -> int | None:
        self._exchange.open_chat(self.chat.profile)
        message = self.chat.add(self._profile, content)
        return self._exchange.mailbox.put("message", dict(message))
