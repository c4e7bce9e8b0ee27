"""Pickles as NVIDIA's torch_utils/persistence.py writes them, of networks with no code.

`Pickler` writes the module `torch_utils.persistence` and `dnnlib.util` by name into a file, so both
are there while it writes, and nowhere afterwards.
"""

from __future__ import annotations

import pickle
import sys
import types
from contextlib import contextmanager

import torch

SOURCE = "import os\nos.system('touch canary')\nopen('canary', 'w').close()\n" + "#" * 9000


def _reconstruct_persistent_obj(meta):
    raise AssertionError("the file was run")


class EasyDict(dict):
    """dnnlib's: attributes are items."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Network(torch.nn.Module):
    """A persistent module: its class' name, parameters, buffers, modules and plain attributes."""

    def __init__(self, class_name, parameters=None, buffers=None, modules=None, **plain):
        super().__init__()
        self.__dict__["_class"] = class_name
        for name, tensor in (parameters or {}).items():
            self.register_parameter(name, torch.nn.Parameter(tensor))
        for name, tensor in (buffers or {}).items():
            self.register_buffer(name, tensor)
        for name, module in (modules or {}).items():
            self.add_module(name, module)
        self._init_args, self._init_kwargs = (), EasyDict(plain, nested=EasyDict())
        for name, value in plain.items():
            setattr(self, name, value)

    def __reduce__(self):
        state = {name: value for name, value in self.__dict__.items() if name != "_class"}
        meta = {"type": "class", "version": 6, "module_src": SOURCE, "class_name": self._class}
        return _reconstruct_persistent_obj, ({**meta, "state": state},), None


@contextmanager
def theirs():
    """The modules that a pickle names, made while it is written."""
    made = {name: types.ModuleType(name) for name in ("torch_utils.persistence", "dnnlib.util")}
    made |= {name: types.ModuleType(name) for name in ("torch_utils", "dnnlib")}
    for each, module in (
        (_reconstruct_persistent_obj, "torch_utils.persistence"),
        (EasyDict, "dnnlib.util"),
    ):
        each.__module__ = module
        setattr(made[module], each.__name__, each)
    before = {name: sys.modules.get(name) for name in made}
    sys.modules.update(made)
    try:
        yield
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


def written(path, generator, protocol=3):
    """A whole file: G, D, G_ema and how it was trained."""
    told = EasyDict(class_name="training.dataset.ImageFolderDataset", path="/a/b.zip", max_size=9)
    held = {"G": generator, "D": Network("Discriminator"), "G_ema": generator}
    held |= {"training_set_kwargs": told, "augment_pipe": None}
    with theirs(), open(path, "wb") as out:
        pickle.dump(held, out, protocol)
    return path
