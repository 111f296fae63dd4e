"""`python -m hpsearch` is the command `hpsearch`."""

from hpsearch.cli.app import main

if __name__ == "__main__":
    main()
