"""The commands: a plain function each, with its options as parameters; cli.py gathers them."""
