"""What the bot says, in one place: short sentences in HTML, with everything that comes from outside escaped."""

from __future__ import annotations

from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Final

from midas.bot.commands import COMMANDS
from midas.domain import UNCATEGORIZED, format_amount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midas.confirmations import Confirmation
    from midas.domain import Money, Transaction
    from midas.domain.cards import Card
    from midas.errors import StatementError, TransferRefused
    from midas.store.reports import Spending
    from midas.sync import ImportReport
    from midas.sync.notices import TransferNotice

LARGEST_FILE_BYTES: Final = 10 * 2**20
"""Ten years of a busy account are about two megabytes of CSV."""

HOW_TO_IMPORT: Final = (
    "Send me a bank statement as a file: CSV or OFX, up to 10 MB. Your bank offers it under <i>export</i> or "
    "<i>download</i>. Sending the same payments twice does no harm: I count each one once."
)
HOW_TO_TRANSFER: Final = (
    "Write /transfer <i>AMOUNT FROM TO</i>, the cards by the last digits of their numbers: "
    "<code>/transfer 25.50 4021 7788</code>"
)
MOVING: Final = "💳 I am moving it. I will tell you when it is done."
PRIVATE_ONLY: Final = "Money is a private matter: please write to me directly, not in a group."
NOT_UNDERSTOOD: Final = "I understand commands and bank statements (CSV or OFX files). See /help."
READING: Final = "📄 I am reading {name}. I will tell you when it is done."
TOO_LARGE: Final = "⚠️ {name} has {megabytes:.1f} MB, and I read at most 10. Please export a shorter period."

_LONGEST_DESCRIPTION: Final = 80
_MOST_CATEGORIES: Final = 12
_BAR_WIDTH: Final = 8


def welcome(first_name: str) -> str:
    """Return the greeting of /start."""
    return (
        f"Hello {escape(first_name)}! I am Midas. I read your bank statements, sort your payments and tell you where "
        f"the money goes.\n\n{HOW_TO_IMPORT}\n\nEverything I can do: /help"
    )


def help_text() -> str:
    """Return one line a command."""
    lines = [
        f"/{command.name}{f' <i>{escape(command.usage)}</i>' if command.usage else ''}: {escape(command.menu)}"
        for command in COMMANDS
    ]
    return "\n".join(["<b>What I can do</b>", *lines, "", HOW_TO_IMPORT])


def balance_text(amounts: Sequence[Money]) -> str:
    """Return what the accounts hold, one line a currency."""
    if not amounts:
        return f"I know no account of yours yet. {HOW_TO_IMPORT}"
    lines = [f"<b>{escape(str(money))}</b>" for money in amounts]
    return "\n".join(["By your statements you have:", *lines])


def spending_text(spending: Sequence[Spending], currency: str, days: int) -> str:
    """Return what was spent on each category, the largest first, with a bar for its share."""
    if not spending:
        return f"I know of no spending in the last {days} days. {HOW_TO_IMPORT}"
    total = sum((item.amount for item in spending), Decimal(0))
    lines = [_spending_line(item, total, currency) for item in spending[:_MOST_CATEGORIES]]
    if len(spending) > _MOST_CATEGORIES:
        lines.append(f"… and {len(spending) - _MOST_CATEGORIES} more")
    payments = sum(item.payments for item in spending)
    head = f"<b>{format_amount(total, currency)}</b> in {days} days, {counted(payments, 'payment')}:"
    return "\n".join([head, *lines])


def cards_text(cards: Sequence[Card]) -> str:
    """Return how money is moved, and between which cards: a line each, with what can be spent from it."""
    if not cards:
        return f"{HOW_TO_TRANSFER}\n\nI know no card of yours yet. {HOW_TO_IMPORT}"
    lines = [f"{escape(card.name)}: {escape(str(card.available))}" for card in cards]
    return "\n".join([HOW_TO_TRANSFER, "", "<b>Your cards</b>", *lines])


def transferred_text(notice: TransferNotice) -> str:
    """Return that money was moved, or is where it was."""
    amount = format_amount(notice.amount, notice.currency)
    way = f"{amount} from {escape(notice.from_card)} to {escape(notice.to_card)}"
    if notice.done:
        return f"✅ Moved {way}."
    return f"↩️ I could not move {way}. Your money is where it was."


def refused_text(error: TransferRefused) -> str:
    """Return why money was not moved."""
    return f"⚠️ Nothing was moved: {escape(str(error))}."


def question_text(confirmation: Confirmation, transaction: Transaction | None, waiting: int) -> str:
    """Return a question about a category.

    Args:
        confirmation: What is asked.
        transaction: What it is about, None when it is gone.
        waiting: How many questions there are in all, 1 or more.
    """
    lines = [f"{counted(waiting, 'payment')} {'waits' if waiting == 1 else 'wait'} for your word.", ""]
    lines.append(f"<b>{shortened(confirmation.description)}</b>")
    number = f"#{confirmation.transaction_id}"
    if transaction is None:
        lines.append(number)
    else:
        amount = format_amount(transaction.amount, transaction.currency)
        lines.append(f"{transaction.occurred_at:%d %b %Y} · {amount} · {number}")
    sure = round(confirmation.confidence * 100)
    lines += ["", f"I think this is <b>{escape(confirmation.predicted)}</b> ({sure} % sure). Is that right?"]
    return "\n".join(lines)


def decided_text(transaction: Transaction) -> str:
    """Return the line that says what was decided."""
    return f"✅ {shortened(transaction.description)}: <b>{escape(transaction.category or UNCATEGORIZED)}</b>"


def broken_statement(error: StatementError) -> str:
    """Return what is wrong with a file, and where."""
    where = f"line {error.line}: " if error.line else ""
    return (
        f"⚠️ I cannot read {shortened(error.path)}.\n{where}{escape(error.reason)}\n\n"
        "Nothing of this file was stored; what I knew before is still there."
    )


def imported_text(name: str, report: ImportReport) -> str:
    """Return what became of a statement so far."""
    lines = [f"📥 {shortened(name)}: {counted(report.found, 'payment')}, {report.new} of them new."]
    if report.queued:
        lines.append("I am sorting the new ones and will tell you how it went.")
    if report.queued < report.new:
        lines.append(
            "They are stored, but I cannot reach my list of work right now: send /categorize in a minute."
        )
    return "\n".join(lines)


def not_imported_text(name: str) -> str:
    """Return that a statement was taken back."""
    return (
        f"⚠️ I could not import {shortened(name)} after all. Nothing of it is kept, except what you have decided on; "
        "please send it once more."
    )


def categorizing_text(queued: int) -> str:
    """Return the answer to /categorize."""
    if not queued:
        return nothing_open()
    return f"I am sorting {counted(queued, 'payment')} and will tell you how it went."


def nothing_open() -> str:
    """Return the answer when every payment was looked at."""
    return "There is nothing to sort: every payment has a category or waits in /pending."


def nothing_pending() -> str:
    """Return the answer when no question is open."""
    return "Nothing waits for you: every payment I know has its category."


def counted(number: int, word: str) -> str:
    """Return a number with its noun: `1 payment`, `12 payments`."""
    return f"{number} {word}" if number == 1 else f"{number:,} {word}s"


def shortened(description: str) -> str:
    """Return a description in one line of a bearable length, escaped."""
    plain = " ".join(description.split())
    return escape(plain if len(plain) <= _LONGEST_DESCRIPTION else f"{plain[: _LONGEST_DESCRIPTION - 1]}…")


def _spending_line(item: Spending, total: Decimal, currency: str) -> str:
    share = item.amount / total if total else Decimal(0)
    filled = round(share * _BAR_WIDTH)
    bar = "▰" * filled + "▱" * (_BAR_WIDTH - filled)
    return f"{bar} {escape(item.category)}: {format_amount(item.amount, currency)} ({share:.0%})"
