"""The program of every child process: `python bench/child.py MODULE:FUNCTION JSON` calls
FUNCTION(**JSON) and prints its answer.

`python -m` would put the current folder first on the path, and a folder `bench` or a file
`brotli.py` there would be imported in place of ours. A script puts its own folder there instead,
which is taken away before anything is imported.
"""

import sys

_HERE = __file__.rpartition("/")[0]
sys.path[:] = [folder for folder in sys.path if folder != _HERE]
sys.path.append(_HERE.rpartition("/")[0])  # where `bench` is, if nothing before says so


def main() -> None:
    """Errors that are the input's or the system's fault are one line, as on the command line."""
    import importlib
    import json

    from compressors.errors import ProxycError, in_one_line

    module, _, name = sys.argv[1].partition(":")
    try:
        answer = getattr(importlib.import_module(module), name)(**json.loads(sys.argv[2]))
    except (ProxycError, OSError) as error:
        sys.exit(in_one_line(error))
    if answer is not None:
        print(json.dumps(answer))


if __name__ == "__main__":
    main()
