"""Work in steps, each of them undone when a later one fails; what one process leaves, another one finishes."""
