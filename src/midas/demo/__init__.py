"""One command's whole living system: embedded servers, child processes, provoked faults, a live summary."""
