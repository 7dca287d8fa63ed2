"""What banks call the columns of a statement, in German and English, and a little French, Spanish and Italian."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_UMLAUTS: Final[dict[str, str | int | None]] = {"ä": "ae", "ö": "oe", "ü": "ue"}

_WORDS: Final = {
    "date": """
        buchungstag buchungsdatum buchung bookingdate postingdate posteddate dateposted transactiondate
        transaktionsdatum completeddate datum date datumbuchung belegdatum umsatzdatum dateoperation fecha data
        valutadatum valuta wertstellung wertstellungstag valuedate starteddate""",
    "amount": "betrag umsatz amount transactionamount buchungsbetrag summe value wert montant importe importo",
    "debit": """
        soll belastung ausgang ausgabe debit debitamount moneyout paidout withdrawal withdrawals lastschrift""",
    "credit": "haben gutschrift eingang einnahme credit creditamount moneyin paidin deposit deposits",
    "direction": "sollhaben sh sollhabenkennzeichen debitcredit dc creditdebit creditdebitindicator vorzeichen",
    "counterparty": """
        auftraggeberempfaenger empfaengerauftraggeber beguenstigterauftraggeber beguenstigterzahlungspflichtiger
        namezahlungsbeteiligter auftraggeberbeguenstigter zahlungsempfaengerin zahlungsempfaenger empfaenger
        empfaengername beguenstigter gegenpartei partnername payee counterparty counterpartyname merchant
        merchantname haendler beneficiary beneficiaryname recipient name""",
    "payer": "zahlungspflichtiger zahlungspflichtige zahlungspflichtigerin auftraggeber payer sender",
    "purpose": """
        verwendungszweck vorgangverwendungszweck zweck beschreibung description transactiondescription details
        memo paymentreference reference narrative betreff text buchungsdetails buchungstext libelle concepto""",
    "currency": "waehrung currency whg transactioncurrency devise divisa",
    "balance": "saldo balance kontostand saldonachbuchung runningbalance accountbalance",
    "account": "auftragskonto ibanauftragskonto kontonummer account accountnumber konto",
    "reference": "transactionid transaktionsid transaktionsnummer transaktionscode bookingid",
    "state": "state status",
}

HEADERS: Final = {role: tuple(words.split()) for role, words in _WORDS.items()}
"""The names of each role as ``fold`` writes them. The first that a header has is taken: the booking date, for
example, before the value date."""


def fold(header: str) -> str:
    """Reduce a header to its letters: ``Auftraggeber / Empfänger`` becomes ``auftraggeberempfaenger``."""
    folded = header.casefold().translate(str.maketrans(_UMLAUTS))
    plain = unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z]", "", plain)
