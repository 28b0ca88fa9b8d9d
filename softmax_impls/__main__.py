"""The command ``softmax-impls``, also ``python -m softmax_impls``."""

import sys


def main() -> int:
    """Run the command line, or print which package is missing, and return the exit status."""
    try:
        from softmax_impls.cli import run
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "softmax_impls":
            raise
        message = f"the command line needs {error.name}: pip install 'softmax-impls[compare]'"
        print(f"softmax-impls: error: {message}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # Ctrl-C during the import
        print("interrupted", file=sys.stderr)
        return 130
    return run()


if __name__ == "__main__":
    sys.exit(main())
