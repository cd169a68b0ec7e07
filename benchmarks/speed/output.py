"""The console of the command: it prints, and records what it prints for speed.txt."""

from benchmarks.output import new_console

console = new_console(record=True)
