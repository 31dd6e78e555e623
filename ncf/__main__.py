"""``python -m ncf``: the same as the ``ncf`` command."""

from ncf.stage.command import main

if __name__ == "__main__":
    main()
