"""The console that records what is printed."""

from rich.console import Console

console = Console(record=True)
