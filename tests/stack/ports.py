"""Ports for programs that are told where to listen before they start."""

from midas.demo.ports import free_port


def free_ports(count: int) -> list[int]:
    """Return different ports that nobody has, and that the kernel gives to nobody by itself."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)
