"""`.h5` files of Keras 2 -> Keras 3 networks.

Keras 3 refuses most of these files: its layers have other arguments, its nested models other nodes. So the architecture
is read here, layer by layer, with Keras' own layers and plain values only. Nothing else in the file is looked up or
run: no Lambda, no class of a package, no pickled object. Initializers and regularizers, which only matter while
training, are left out, and every layer computes in float32.
"""
