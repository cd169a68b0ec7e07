"""The parts of python -m benchmarks.speed: measurements of speed and memory."""
