"""What each method of the Bot API does: one function a method, from parameters to result."""

from collections.abc import Awaitable, Callable
from typing import Any

from midas.demo.internet.bodies import Parameters
from midas.demo.internet.exchange import Chat, Exchange, Incoming, Message, document_of
from midas.demo.internet.keyboards import read_keyboard
from midas.demo.internet.mailbox import LARGEST_BATCH, PollerReplacedError
from midas.demo.internet.markup import parse_html
from midas.demo.internet.refusals import bad_request, blocked, conflict

LONGEST_TEXT = 4096  # characters after the markup was taken out
LONGEST_TOAST = 200
LARGEST_DOWNLOAD = 20 * 2**20  # bytes; getFile refuses more

Method = Callable[[Exchange, Parameters], Awaitable[Any]]


async def get_me(exchange: Exchange, _: Parameters) -> Any:
    """Return the bot's own user."""
    return exchange.me


async def get_updates(exchange: Exchange, parameters: Parameters) -> Any:
    """Return updates that no offset has confirmed yet, waiting `timeout` seconds for the first."""
    allowed = parameters.values.get("allowed_updates")
    try:
        return await exchange.mailbox.poll(
            offset=parameters.integer("offset", 0),
            limit=parameters.integer("limit", LARGEST_BATCH) or LARGEST_BATCH,
            wait_seconds=parameters.integer("timeout", 0),
            allowed=allowed,
        )
    except PollerReplacedError:
        raise conflict() from None


async def agree(_: Exchange, __: Parameters) -> Any:
    """Accept what has no effect a person or bot could see here (commands' menu, typing, webhook off)."""
    return True


async def get_webhook_info(exchange: Exchange, _: Parameters) -> Any:
    """Say that there is no webhook and how many updates wait."""
    waiting = len(exchange.mailbox)
    return {"url": "", "has_custom_certificate": False, "pending_update_count": waiting}


async def send_message(exchange: Exchange, parameters: Parameters) -> Any:
    """Show a text in a chat."""
    chat = _chat(exchange, parameters)
    content = _text(parameters, "text") | _keyboard(parameters)
    return _shown(exchange, chat, chat.add(exchange.me, content))


async def send_document(exchange: Exchange, parameters: Parameters) -> Any:
    """Show a file in a chat."""
    chat = _chat(exchange, parameters)
    reference = parameters.text("document").removeprefix("attach://")
    upload = parameters.uploads.get(reference) or parameters.uploads.get("document")
    stored = exchange.store_file(upload.name, upload.data) if upload else exchange.file(reference)
    if stored is None:
        raise bad_request("there is no document in the request")
    content = {"document": document_of(stored)} | _keyboard(parameters)
    if parameters.text("caption"):
        content["caption"] = _text(parameters, "caption")["text"]
    return _shown(exchange, chat, chat.add(exchange.me, content))


async def edit_message_text(exchange: Exchange, parameters: Parameters) -> Any:
    """Replace text and keyboard of one of the bot's messages."""
    chat = _chat(exchange, parameters)
    message = _own_message(exchange, chat, parameters)
    changed = _text(parameters, "text") | _keyboard(parameters)
    return _edited(exchange, chat, message, {"text", "entities", "reply_markup"}, changed)


async def edit_message_reply_markup(exchange: Exchange, parameters: Parameters) -> Any:
    """Replace the keyboard of one of the bot's messages."""
    chat = _chat(exchange, parameters)
    message = _own_message(exchange, chat, parameters)
    return _edited(exchange, chat, message, {"reply_markup"}, _keyboard(parameters))


async def delete_message(exchange: Exchange, parameters: Parameters) -> Any:
    """Take a message out of a chat."""
    chat = _chat(exchange, parameters)
    if chat.messages.pop(parameters.integer("message_id"), None) is None:
        raise bad_request("message to delete not found")
    return True


async def answer_callback_query(exchange: Exchange, parameters: Parameters) -> Any:
    """End the spinning of a pressed button, with a short text or none."""
    callback_id = parameters.text("callback_query_id")
    chat_id = exchange.callbacks.pop(callback_id, None)
    if chat_id is None:
        raise bad_request("query is too old and response timeout expired or query ID is invalid")
    text = parameters.text("text")
    if len(text) > LONGEST_TOAST:
        raise bad_request("MESSAGE_TOO_LONG")
    exchange.book.called_back(callback_id)
    chat = exchange.chat(chat_id)
    if chat is not None and text:
        chat.show(Incoming("toast", text))
    return True


async def get_file(exchange: Exchange, parameters: Parameters) -> Any:
    """Return the path under which a file can be downloaded."""
    stored = exchange.file(parameters.text("file_id"))
    if stored is None:
        raise bad_request("invalid file_id")
    if len(stored.data) > LARGEST_DOWNLOAD:
        raise bad_request("file is too big")
    document = document_of(stored)
    kept = {key: document[key] for key in ("file_id", "file_unique_id", "file_size")}
    return kept | {"file_path": stored.path}


METHODS: dict[str, Method] = {
    "getme": get_me,
    "getupdates": get_updates,
    "deletewebhook": agree,
    "getwebhookinfo": get_webhook_info,
    "setmycommands": agree,
    "deletemycommands": agree,
    "sendchataction": agree,
    "sendmessage": send_message,
    "senddocument": send_document,
    "editmessagetext": edit_message_text,
    "editmessagereplymarkup": edit_message_reply_markup,
    "deletemessage": delete_message,
    "answercallbackquery": answer_callback_query,
    "getfile": get_file,
}


def _chat(exchange: Exchange, parameters: Parameters) -> Chat:
    try:
        chat = exchange.chat(int(parameters.text("chat_id")))
    except ValueError:
        chat = None
    if chat is None:
        raise bad_request("chat not found" if parameters.text("chat_id") else "chat_id is empty")
    if chat.blocked:
        raise blocked()
    return chat


def _text(parameters: Parameters, name: str) -> dict[str, Any]:
    source = parameters.text(name)
    mode = parameters.text("parse_mode").lower()
    if mode not in ("", "html"):
        raise bad_request("unsupported parse_mode")
    text, entities = parse_html(source) if mode == "html" else (source, [])
    if not text.strip():
        raise bad_request("message text is empty")
    if len(text) > LONGEST_TEXT:
        raise bad_request("message is too long")
    return {"text": text, "entities": entities} if entities else {"text": text}


def _keyboard(parameters: Parameters) -> dict[str, Any]:
    keyboard = read_keyboard(parameters.values.get("reply_markup"))
    return {} if keyboard is None else {"reply_markup": keyboard}


def _own_message(exchange: Exchange, chat: Chat, parameters: Parameters) -> Message:
    message = chat.messages.get(parameters.integer("message_id"))
    if message is None:
        raise bad_request("message to edit not found")
    if message["from"]["id"] != exchange.me["id"]:
        raise bad_request("message can't be edited")
    return message


def _shown(exchange: Exchange, chat: Chat, message: Message) -> Message:
    exchange.book.reached(chat.id)
    copy = dict(message)
    chat.show(Incoming("message", copy.get("text") or copy.get("caption", ""), copy))
    return copy


def _edited(
    exchange: Exchange, chat: Chat, message: Message, replaced: set[str], changed: dict[str, Any]
) -> Message:
    before = {key: message[key] for key in replaced if key in message}
    if before == changed:
        reason = "specified new message content and reply markup are exactly the same as a current content"
        raise bad_request(f"message is not modified: {reason} and reply markup of the message")
    for key in replaced:
        message.pop(key, None)
    message.update(changed)
    exchange.book.reached(chat.id)
    copy = dict(message)
    chat.show(Incoming("edit", copy.get("text", ""), copy))
    return copy
