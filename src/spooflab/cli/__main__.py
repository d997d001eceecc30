"""`python -m spooflab.cli`."""

from spooflab.cli.main import main

if __name__ == "__main__":
    main()
