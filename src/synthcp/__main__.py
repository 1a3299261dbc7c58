"""python -m synthcp: the program."""

from synthcp.cli import main

if __name__ == "__main__":
    main()
