"""Reading pickled checkpoints without running them: a child process's whole program.

A machine that knows a pickle's opcodes and a short list of names computes plain values and the
places of tensors; nothing that a file names is ever imported, looked up or called. Only the
standard library is used here: the child starts within a tenth of a second, with little in reach.
"""
