"""The neural codec: a small byte-level model in integers, its training, and arithmetic coding under
it.

`codec` is the class `Neural`. `model` holds the network and the mixer as arrays and runs the
kernels
`_context`, `_network` and `_code`; `train` fits them (`_training`), in floats. `windows` cuts text
into
symbols by a dictionary (`_windows`); `entropy_windows` cuts as published. `artifact` keeps and
loads what
was fitted, and `self_test` checks that this machine computes the same integers as every other.
"""
