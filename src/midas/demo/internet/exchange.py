"""What lies between the people and the bot: chats, files, and the updates on their way."""

import asyncio
import itertools
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Literal

from midas.demo.internet.answers import AnswerBook
from midas.demo.internet.mailbox import Mailbox, Update

MESSAGES_KEPT = 60  # a chat; enough for every button that is still on a screen
FILES_KEPT = 300
CHATS_KEPT = 20_000
INBOX_SIZE = 100

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Incoming:
    """Something that appeared on a person's screen."""

    kind: Literal["message", "edit", "toast"]
    text: str
    message: Message | None = None

    @property
    def buttons(self) -> list[tuple[str, str]]:
        """Caption and callback data of every button under the message, row by row."""
        rows = ((self.message or {}).get("reply_markup") or {}).get("inline_keyboard") or []
        buttons = [button for row in rows for button in row if "callback_data" in button]
        return [(button["text"], button["callback_data"]) for button in buttons]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that somebody sent; `path` is what getFile answers."""

    file_id: str
    name: str
    data: bytes
    path: str


@dataclass(slots=True)
class Chat:
    """A private chat: who it is with, its latest messages, and the person's screen."""

    profile: dict[str, Any]
    blocked: bool = False
    messages: OrderedDict[int, Message] = field(default_factory=OrderedDict)
    inbox: asyncio.Queue[Incoming] = field(default_factory=lambda: asyncio.Queue(INBOX_SIZE))
    _last_message_id: int = 0

    @property
    def id(self) -> int:
        """The chat's id, which in a private chat is the person's."""
        return int(self.profile["id"])

    def describe(self) -> dict[str, Any]:
        """Return the Bot API's `Chat` object."""
        keys = ("id", "first_name", "username")
        return {key: self.profile[key] for key in keys if key in self.profile} | {"type": "private"}

    def add(self, sender: dict[str, Any], content: dict[str, Any]) -> Message:
        """Append a message and return it."""
        self._last_message_id += 1
        message = {
            "message_id": self._last_message_id,
            "from": sender,
            "chat": self.describe(),
            "date": int(time.time()),
            **content,
        }
        self.messages[self._last_message_id] = message
        while len(self.messages) > MESSAGES_KEPT:
            self.messages.popitem(last=False)
        return message

    def show(self, incoming: Incoming) -> None:
        """Put something on the person's screen; the oldest unseen thing gives way."""
        if self.inbox.full():
            self.inbox.get_nowait()
        self.inbox.put_nowait(incoming)


class Exchange:
    """The state of the messenger."""

    def __init__(self, me: dict[str, Any], book: AnswerBook) -> None:
        """Create an empty messenger.

        Args:
            me: The bot's own `User` object.
            book: Measures how long people wait for the bot.
        """
        self.me = me
        self.book = book
        self.mailbox = Mailbox(_first_update_id(), self._update_delivered)
        self.callbacks: OrderedDict[str, int] = OrderedDict()
        self._chats: OrderedDict[int, Chat] = OrderedDict()
        self._files: OrderedDict[str, StoredFile] = OrderedDict()
        self._numbers = itertools.count(1)

    def chat(self, chat_id: int) -> Chat | None:
        """Return a chat that a person has opened, or None."""
        return self._chats.get(chat_id)

    def open_chat(self, profile: dict[str, Any]) -> Chat:
        """Return the person's chat, opening it when it is their first; long forgotten ones make room."""
        chat = self._chats.pop(profile["id"], None) or Chat(profile)
        self._chats[chat.id] = chat
        while len(self._chats) > CHATS_KEPT:
            self._chats.popitem(last=False)
        return chat

    def store_file(self, name: str, data: bytes) -> StoredFile:
        """Keep a file for a while and return it with its id and path."""
        number = next(self._numbers)
        stored = StoredFile(f"BQACAgIAAx{number:010d}", name, data, f"documents/file_{number}")
        self._files[stored.file_id] = stored
        while len(self._files) > FILES_KEPT:
            self._files.popitem(last=False)
        return stored

    def file(self, file_id: str) -> StoredFile | None:
        """Return a stored file by its id."""
        return self._files.get(file_id)

    def file_at(self, path: str) -> StoredFile | None:
        """Return a stored file by its path."""
        return next((stored for stored in self._files.values() if stored.path == path), None)

    def new_callback(self, chat_id: int) -> str:
        """Return the id of a callback query that the bot has yet to answer."""
        callback_id = f"{next(self._numbers) + 10**15}"
        self.callbacks[callback_id] = chat_id
        while len(self.callbacks) > CHATS_KEPT:
            self.callbacks.popitem(last=False)
        return callback_id

    def _update_delivered(self, update: Update) -> None:
        callback = update.get("callback_query")
        message = callback["message"] if callback else update["message"]
        self.book.delivered(update["update_id"], message["chat"]["id"], callback["id"] if callback else None)


def _first_update_id() -> int:
    """Return an id above all of a messenger that ran before, as long as it had fewer than 100 updates a second.

    Telegram's ids only ever grow, and a bot that outlives this process goes on asking from its last one.
    """
    epoch = 1_735_689_600  # 2025 began
    return int((time.time() - epoch) * 100)


def document_of(stored: StoredFile) -> dict[str, Any]:
    """Return the Bot API's `Document` object."""
    kind = "text/csv" if stored.name.lower().endswith(".csv") else "application/octet-stream"
    return {
        "file_id": stored.file_id,
        "file_unique_id": stored.file_id[-10:],
        "file_name": stored.name,
        "mime_type": kind,
        "file_size": len(stored.data),
    }
