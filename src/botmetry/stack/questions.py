"""What `botmetry init` asks a person at a terminal, until the answers can be used."""

from __future__ import annotations

from collections.abc import Callable

from botmetry.errors import StackError
from botmetry.stack.services import Service, check_services, parse_service

__all__ = ["ask_for_services"]

_FIRST_PORT = 8000


def ask_for_services(first: str, ask: Callable[[str], str], say: Callable[[str], None]) -> list[Service]:
    """Ask for names and ports; an empty name ends the list.

    Args:
        first: The name that is offered first.
        ask: Shows a question and returns the answer, as `input` does.
        say: Takes a line that says what is wrong with an answer.

    Raises:
        StackError: The person ended the input (Ctrl-D or Ctrl-C).
    """
    services: list[Service] = []
    try:
        while (name := _ask_name(first, services, ask)) is not None:
            port = ask(f"Port of its /metrics [{_next_port(services)}]: ").strip() or str(
                _next_port(services)
            )
            try:
                check_services([*services, service := parse_service(f"{name}={port}")])
            except StackError as error:
                say(f"{error}")
            else:
                services.append(service)
    except (EOFError, KeyboardInterrupt):
        raise StackError("the questions were not answered, nothing was changed") from None
    return services


def _ask_name(first: str, services: list[Service], ask: Callable[[str], str]) -> str | None:
    if not services:
        return ask(f"Name of the service to watch [{first}]: ").strip() or first
    return ask("Name of another one, empty for none: ").strip() or None


def _next_port(services: list[Service]) -> int:
    return max((service.port for service in services), default=_FIRST_PORT - 1) + 1
