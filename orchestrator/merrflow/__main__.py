"""`python -m merrflow` is the command `merrflow`."""

from merrflow.cli import main

if __name__ == "__main__":
    main()
