"""``python -m ncf``, equivalent to the ``ncf`` command."""

from ncf.stage.exits import exit_on_early_interrupt

if __name__ == "__main__":
    exit_on_early_interrupt()

    from ncf.stage.command import main

    main()
