"""The console of the command: it prints, and records what it prints for speed.txt."""

from rich.console import Console

console = Console(record=True)
