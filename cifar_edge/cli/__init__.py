"""The command `cifar-edge`: one file a command."""
