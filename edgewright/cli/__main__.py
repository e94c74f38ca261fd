"""`python -m edgewright.cli`."""

from edgewright.cli.frame import main

if __name__ == "__main__":
    main()
