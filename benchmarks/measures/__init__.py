"""What `cifar-edge bench` measures: one file a kind of figure."""
