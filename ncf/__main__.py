"""``python -m ncf``, equivalent to the ``ncf`` command."""

from ncf.stage.command import main

if __name__ == "__main__":
    main()
