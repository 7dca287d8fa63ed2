"""One check a kind of file; each yields what is wrong, with file and line."""
