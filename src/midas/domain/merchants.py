"""Who was paid, found in what a bank wrote.

A booking text mixes the merchant with card masks, dates, branch numbers, cities and the name of whoever moved the
money. ``normalise`` keeps the merchant, so that every branch and every month of one merchant gives the same name.
It only ever removes words: it cannot invent a merchant, and it is idempotent.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from midas.domain.places import ENDINGS

UNKNOWN: Final = "UNKNOWN"
"""The merchant of an empty description."""

SEPARATOR: Final = " | "
"""Between counterparty and purpose in a description that was made from two columns."""

_LONGEST: Final = 80

_FOLDED: Final = str.maketrans(
    {"Ä": "AE", "Ö": "OE", "Ü": "UE", "ẞ": "SS", "Ø": "O", "Æ": "AE", "Ł": "L", "Đ": "D", "Œ": "OE"}
)

# PayPal and Klarna name the real merchant behind these words; everything before them is the payment itself.
_BOUGHT_AT: Final = re.compile(
    r"\b(?:IHR EINKAUF BEI|EINKAUF BEI|YOUR PURCHASE AT|PURCHASE AT|YOUR ORDER AT)\s+(?P<who>[^,;|]+)"
)

# Words that payment providers and banks put in front of the merchant.
_PREFIX: Final = re.compile(
    r"""^(?:
    (?:PAYPAL|PP|SUMUP|SQ|SQUARE|ZETTLE|IZETTLE|IZ|STRIPE|TST|KLARNA|MOLLIE|ADYEN|NEXI|WORLDLINE|PAYONE|VIVAWALLET
      |DOJO|TOAST|LS|FS|EZI|CKO|CCV|BUCKAROO|LIGHTSPEED|PADDLE[ ]NET|APPLE[ ]PAY|GOOGLE[ ]PAY|GOOGLE|MICROSOFT
    )\s?[*_]+\s*
    |(?:SUMUP|ZETTLE|IZETTLE|VIVAWALLET)\s+
    |PP\.\d+\.PP\s*[./]?\s*
    |(?:VISA|MASTERCARD|MAESTRO|GIROCARD|EC|DEBIT|KREDIT)[- ]?
      (?:KARTE|KARTENZAHLUNG|KARTENUMSATZ|DEBITKARTENUMSATZ|UMSATZ|CARD|PURCHASE)\s*(?:(?:VOM|AM)\s|[\s:/])\s*
    |(?:KARTENZAHLUNG|KARTENUMSATZ|LASTSCHRIFT|SEPA[- ]?(?:BASIS|FIRMEN)?[- ]?LASTSCHRIFT|SEPA[- ]?DIRECT[ ]DEBIT
      |DIRECT[ ]DEBIT|SEPA[- ]?UEBERWEISUNG|UEBERWEISUNG|DAUERAUFTRAG|GUTSCHRIFT|FOLGELASTSCHRIFT
      |EINMALLASTSCHRIFT|ONLINE[- ]UEBERWEISUNG|CARD[ ]PAYMENT(?:[ ]TO)?|CARD[ ]PURCHASE|CARD[ ]TRANSACTION
      |CONTACTLESS(?:[ ]PAYMENT)?|KONTAKTLOS|POS(?:[ ]PURCHASE)?|PURCHASE|PAYMENT[ ]TO|TRANSFER[ ]TO
      |TRANSFER[ ]FROM|STANDING[ ]ORDER
    )(?:\s+(?:TO|AN|VOM|AM|BEI|FROM))?[\s:/-]+
    )""",
    re.VERBOSE,
)

# SEPA's field marks; what follows is references, except after SVWZ (the purpose).
_SEPA_FIELD: Final = re.compile(
    r"\s*\b(?:EREF|KREF|MREF|CRED|DEBT|COAM|OAMT|ABWA|ABWE|IBAN|BIC)\s?[+:]\s*\S*"
)
_SEPA_PURPOSE: Final = re.compile(r"\bSVWZ\s?[+:]\s*")

_NOISE: Final = re.compile(
    r"""
    \b\d{1,2}[./]\d{1,2}[./](?:\d{4}|\d{2})?(?=\s|$|[,;T])       # 03.11. and 03.11.2026
    |\b\d{4}-\d{2}-\d{2}(?:T[\d:.]+Z?)?                           # 2026-11-03T12:45:00
    |\b\d{1,2}:\d{2}(?::\d{2})?(?:[ ]UHR)?\b                      # 12:45 UHR
    |(?<!\w)(?:[*X\#]{2,}[\s-]?)+\d{2,4}\b                        # **** 1234
    |\b(?:KARTE|CARD|KARTENNR|KARTENNUMMER|KREDITKARTE)\.?(?:\s+(?:NR|NO|ENDING|ENDEND))?\.?
      (?:\s+(?:IN|MIT|AUF))?[\s:]*(?:[*X\#]+[\s-]?)*\d{4,}\b      # KARTE NR. **** 1234
    |\b(?:FILIALE|FIL|MARKT|STORE|BRANCH|TERMINAL|KASSE|TERM-?ID|TID|NR|NO|REF|ORDER|RECHNUNG|INVOICE
      |KUNDENNR|KD-?NR)[\s.:\#-]*\d[\w/-]*                         # FIL. 1234
    |\bSAGT[ ]DANKE\b|\bDANKT\b|\bVIELEN[ ]DANK\b|\bTHANK[ ]YOU\b|\bMERCI\b
    |\b(?:DEBITK|KREDITK|FOLGENR|VERFALLD)\.?\s?\S*
    """,
    re.VERBOSE,
)
_ADDRESS: Final = re.compile(r"//.*$")  # "LIDL SAGT DANKE//BERLIN/DE"
_ORDER_MARK: Final = re.compile(r"(?<=\w)\*\s?(?=\S*\d)\S+")  # "AMZN MKTP DE*2K3AB"
_STARS: Final = re.compile(r"\s*\*+\s*")
_DOMAIN: Final = re.compile(
    r"\b(?:HTTPS?:/*)?(?:WWW\.)?([A-Z0-9-]{2,})"
    r"\.(?:CO\.UK|COM|NET|ORG|DE|AT|CH|EU|FR|IT|ES|NL|PL|BE|IO|APP|SHOP|TV)\b(?:/\S*)?"
)
_DOTTED_LEGAL_FORM: Final = re.compile(
    r"\b(?:[A-Z]\.\s?){2,}(?:[A-Z]\b\.?)?|\b(?:E\.V|E\.K|E\.G|S\.A|B\.V|N\.V|CO)\.?(?=\s|$|,)"
)
_NUMBERED: Final = re.compile(r"[#]?[A-Z]{0,3}\d[\d/._-]*[A-Z]{0,2}")
_LEADING_NUMBER: Final = re.compile(r"\d{3,}")
_EDGE: Final = " \t.,;:/|+-_*#'\"()[]<>&=!?~"

CRYPTO_CARD_PROVIDERS: Final[tuple[tuple[str, re.Pattern[str]], ...]] = tuple(
    (provider, re.compile(pattern))
    for provider, pattern in (
        ("binance", r"\bBINANCE(?:\s+(?:CARD|PAY))?\b"),
        ("bitpanda", r"\bBITPANDA\b"),
        ("bitpay", r"\bBITPAY\b"),
        ("bybit", r"\bBYBIT\b"),
        ("coinbase", r"\bCOINBASE\b"),
        ("crypto_com", r"\bCRYPTO\.COM\b|\bCRYPTOCOM\b|\bMCO CARD\b|\bFORIS DAX\b"),
        ("gnosis_pay", r"\bGNOSIS ?PAY\b|\bMONAVATE\b"),
        ("kraken", r"\bKRAKEN\b|\bPAYWARD\b"),
        ("ledger", r"\bBAANX\b|\bCL CARD\b"),
        ("metamask", r"\bMETAMASK\b"),
        ("nexo", r"\bNEXO\b"),
        ("plutus", r"\bPLUTUS\b"),
        ("wirex", r"\bWIREX\b"),
    )
)


def normalise(description: str) -> str:
    """Give the merchant in capital ASCII letters, without branch, city, card, date, reference or payment provider.

    The result is never empty and at most 80 characters long; ``normalise(normalise(x)) == normalise(x)``.

    >>> normalise("LIDL SAGT DANKE//BERLIN/DE 2026-11-03T12:45 KARTE 1234")
    'LIDL'
    >>> normalise("PAYPAL *SPOTIFY AB 35314369001")
    'SPOTIFY'
    >>> normalise("PayPal (Europe) S.a.r.l. | PP.5871.PP . NETFLIX.COM, Ihr Einkauf bei NETFLIX.COM")
    'NETFLIX'
    """
    text = _fold(description)
    while (shorter := _reduce(text)) != text:
        text = shorter
    return text or UNKNOWN


def crypto_card_provider(description: str) -> str | None:
    """Name the provider of a crypto card that the text speaks of, from a closed list, or give None."""
    text = _fold(description)
    return next((provider for provider, pattern in CRYPTO_CARD_PROVIDERS if pattern.search(text)), None)


def _fold(text: str) -> str:
    upper = unicodedata.normalize("NFKC", text).upper().translate(_FOLDED)
    plain = unicodedata.normalize("NFKD", upper).encode("ascii", "ignore").decode("ascii").upper()
    return " ".join("".join(letter if letter.isprintable() else " " for letter in plain).split())


def _reduce(text: str) -> str:
    bought = _BOUGHT_AT.search(text)
    if bought is not None and bought["who"].strip(_EDGE):
        text = bought["who"]
    counterparty, _, purpose = text.partition("|")
    text = counterparty if counterparty.strip(_EDGE) else purpose
    text = _strip_marks(text.strip())
    kept = _drop_tail(text.split())
    return " ".join(kept).strip(_EDGE)[:_LONGEST].strip(_EDGE)


def _strip_marks(text: str) -> str:
    """Remove what is never part of a merchant's name; a step that would leave nothing is left out."""
    for pattern, replacement in (
        (_SEPA_PURPOSE, " "),
        (_SEPA_FIELD, " "),
        (_PREFIX, ""),
        (_ADDRESS, ""),
        (_ORDER_MARK, ""),
        (_NOISE, " "),
        (_DOMAIN, r"\1"),
        (_DOTTED_LEGAL_FORM, " "),
        (_STARS, " "),
    ):
        shorter = " ".join(pattern.sub(replacement, text).split())
        if shorter.strip(_EDGE):
            text = shorter
    return text


def _drop_tail(words: list[str]) -> list[str]:
    """Drop numbers, then legal forms, countries and places from the end; at least one word stays."""
    clean = [stripped for word in words if (stripped := word.strip(_EDGE))]
    kept = [word for index, word in enumerate(clean) if index == 0 or not _NUMBERED.fullmatch(word)]
    if len(kept) > 1 and _LEADING_NUMBER.fullmatch(kept[0]):
        kept = kept[1:]
    while len(kept) > 1 and kept[-1].partition("-")[0] in ENDINGS:
        kept.pop()
    return kept
