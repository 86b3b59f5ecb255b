"""The measurements of `cifar-edge bench`, one file each."""
