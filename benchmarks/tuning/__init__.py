"""The parts of python -m benchmarks.tune: a study's plan, storage, trials and reports."""
