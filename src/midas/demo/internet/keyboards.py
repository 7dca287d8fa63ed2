"""Keyboards as Telegram accepts them: every button is checked before a person sees it."""

from typing import Any

from midas.demo.internet.refusals import bad_request

LONGEST_DATA = 64  # bytes of callback data, 1 to 64
MOST_BUTTONS = 100


def read_keyboard(markup: Any) -> dict[str, Any] | None:
    """Return the inline keyboard with nothing but its known fields, or None when there is none.

    Raises:
        RefusalError: A button has no text or no action, its data is too long, or there are too many.
    """
    rows = markup.get("inline_keyboard") if isinstance(markup, dict) else None
    if not rows:
        return None
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise bad_request("can't parse inline keyboard button: expected an Array of Array")
    keyboard = [[_button(button) for button in row] for row in rows]
    if sum(map(len, keyboard)) > MOST_BUTTONS:
        raise bad_request("reply markup is too long")
    return {"inline_keyboard": keyboard}


def _button(button: Any) -> dict[str, str]:
    if not isinstance(button, dict) or not button.get("text"):
        raise bad_request('can\'t parse inline keyboard button: Field "text" must be of type String')
    data = button.get("callback_data")
    if data is None:
        if button.get("url"):
            return {"text": str(button["text"]), "url": str(button["url"])}
        raise bad_request(
            "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
        )
    if not 1 <= len(str(data).encode()) <= LONGEST_DATA:
        raise bad_request("BUTTON_DATA_INVALID")
    return {"text": str(button["text"]), "callback_data": str(data)}
