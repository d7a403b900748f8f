"""The benchmark: whole processes side by side against a target that is faster than all of them.

`python -m tests.bench` measures everything into bench.json; `python -m tests.bench --help` names the parts.
"""
