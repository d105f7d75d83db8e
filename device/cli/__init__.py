"""The command `kiosk`: one module for each of its subcommands."""
