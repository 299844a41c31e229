"""``python -m whichvariant``: the same as the ``whichvariant`` command."""

from whichvariant.cli.main import main

if __name__ == "__main__":
    main()
