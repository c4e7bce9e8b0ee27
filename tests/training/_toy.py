"""Small things to train, and processes in which a training is killed.

Children come from a fork server that has imported the heavy libraries and done nothing else, so
that each takes a tenth of a second.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from limner.training import _checkpoint
from limner.training._data import Captioned
from limner.training.loop import Plan, train

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 40),
    "blue": (40, 50, 220),
    "white": (240, 240, 240),
}
PLACES = {"top": 0, "middle": 1, "bottom": 2}
# A CLIP that learns Bars in seconds.
TINY = dict(size=32, width=64, layers=1, patch=16, vocab_size=560, length=12)


class Bars:
    """Captioned pictures: a bar of one colour at one height, on a dark ground with grain."""

    def __init__(self, count: int = 240, size: int = 32) -> None:
        self.count, self.size = count, size

    def __len__(self) -> int:
        return self.count

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        pictures, captions = [], []
        for index in indices:
            colour = list(COLOURS)[index % 4]
            place = list(PLACES)[index // 4 % 3]
            rng = np.random.Generator(np.random.Philox(key=index))
            picture = rng.integers(0, 60, (self.size, self.size, 3), np.uint8)
            third = self.size // 3
            picture[PLACES[place] * third : (PLACES[place] + 1) * third] = COLOURS[colour]
            pictures.append(picture)
            captions.append(f"a {colour} bar at the {place}")
        return np.stack(pictures), captions


class Toy:
    """A recipe of two players: one copies the sum of its inputs through dropout, one follows it."""

    def __init__(self, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.seed = seed
        net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1))
        self.players: Mapping[str, nn.Module] = {"net": net, "follower": nn.Linear(6, 1)}

    def batch(self, step: int, size: int, rank: int, ranks: int) -> Tensor:
        rng = np.random.Generator(np.random.Philox(key=[self.seed, step]))
        every = rng.standard_normal((size * ranks, 6)).astype(np.float32)
        return torch.from_numpy(every[rank * size : (rank + 1) * size])

    def learn(
        self, player: str, batch: Tensor, step: int, backward: Callable[[Tensor], None]
    ) -> dict[str, Tensor]:
        said = self.players["net"](batch)
        if player == "follower":
            said, wanted = self.players["follower"](batch), said.detach()
        else:
            wanted = batch.sum(dim=1, keepdim=True)
        loss = (said - wanted).square().mean()
        backward(loss)
        return {f"{player}_loss": loss}

    def preview(self, step: int, folder: Path) -> None:
        (folder / f"{step}.txt").write_text(str(self.players["net"][0].weight.sum().item()))

    def export(self, folder: Path) -> None:
        folder.mkdir()
        torch.save(self.players["net"].state_dict(), folder / "net.pt")


PLAN = Plan(
    steps=12, batch_size=8, learning_rate=0.02, warmup_steps=3, save_every=4, ema=0.9, seed=3
)


def toy() -> Toy:
    return Toy()


def tiny_clip() -> Any:
    from limner.training._tokenizer import make_tokenizer
    from limner.training.clip import Clip

    data = Captioned(Bars(), 3)
    with tempfile.TemporaryDirectory() as folder:
        words = make_tokenizer(data.captions(100), Path(folder), vocab_size=560, length=12)
    torch.manual_seed(3)
    return Clip(data, words, size=32, width=64, layers=1, patch=16, micro_batch=4)


def tiny_diffusion() -> Any:
    """With a channels-last U-Net, whose convolutions lie in memory in another order."""
    from transformers import CLIPTextConfig, CLIPTextModel

    from limner.training._coders import build_kl
    from limner.training._parts import build_unet
    from limner.training.diffusion import Diffusion

    words = tiny_clip().tokenizer
    torch.manual_seed(4)
    config = CLIPTextConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=12, projection_dim=16,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
    )  # fmt: skip
    unet = build_unet((16, 32), latent_channels=4, text_width=32, side=4)
    vae = build_kl((8, 8, 8, 8), latent_channels=4).eval().requires_grad_(False)
    return Diffusion(
        Captioned(Noises(), 3), unet, CLIPTextModel(config), words, vae, vocabulary=["bar"], seed=3
    )


class Noises(Bars):
    """In the place of latents (4, 4, 4), with the captions of Bars."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 4

    def batch(self, indices: Sequence[int]) -> tuple[np.ndarray, list[str]]:
        _, captions = Bars(size=32).batch(indices)
        rows = [np.random.Generator(np.random.Philox(key=[9, i])) for i in indices]
        return np.stack([r.standard_normal((4, 4, 4), np.float32) for r in rows]), captions


RECIPES: dict[str, Callable[[], Any]] = {
    "toy": toy,
    "clip": tiny_clip,
    "diffusion": tiny_diffusion,
}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# What a save does, in the form of the names through which it does it.
ACTS = [
    (_checkpoint, "save_file"),
    (_checkpoint, "sync"),
    (_checkpoint, "_digest"),
    (_checkpoint.shutil, "rmtree"),
    (Path, "mkdir"),
    (Path, "write_text"),
    (Path, "rename"),
]


def mine(number: int, *, halved: bool = False) -> list[str]:
    """Die before act ``number`` of saving (or, halved, in the middle of the file it writes).

    Gives a list that grows by the name of every act.
    """
    acts: list[str] = []

    def wrap(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def acted(*args: Any, **given: Any) -> Any:
            acts.append(name)
            now = len(acts) == number
            if now and not halved:
                die()
            done = act(*args, **given)
            if now:
                file = next(each for each in args if isinstance(each, Path))
                os.truncate(file, file.stat().st_size // 2)
                die()
            return done

        return acted

    for owner, name in ACTS:
        setattr(owner, name, wrap(name, getattr(owner, name)))
    return acts


def training(
    run: Path, recipe: str = "toy", plan: Plan = PLAN, die_after: int = 0, act: int = 0,
    halved: bool = False, from_save: int = 8,
) -> None:  # fmt: skip
    """Train in a child, to the end or to death: after a step, or at an act of a save."""
    torch.set_num_threads(1)
    for progress in train(RECIPES[recipe](), plan, run, resume=True):
        if progress.step == die_after:
            die()
        if act and progress.step == from_save - 1:
            mine(act, halved=halved)


def ranked(rank: int, ranks: int, port: int, target: Callable[..., Any], args: tuple) -> None:
    """A target in one of several processes, as torchrun starts them."""
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
    os.environ |= {name: str(value) for name, value in told.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    target(*args)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def said_to(file: Path, target: Callable[..., Any], *args: Any) -> None:
    """A target whose stdout and stderr go to a file, and whose return value is its exit status."""
    sys.stdout = sys.stderr = file.open("w", buffering=1)
    sys.exit(target(*args))


_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(
    ["accelerate", "limner.cli", "limner.training.clip", "limner.training.autoencoder",
     "limner.training.diffusion", "transformers.models.clip.modeling_clip",
     "transformers.models.clip.tokenization_clip", "diffusers.models.autoencoders.autoencoder_kl",
     "diffusers.models.unets.unet_2d_condition"]
)  # fmt: skip


def start(target: Callable[..., Any], *args: Any, **given: Any) -> Any:
    """A child process, running."""
    child = _SERVER.Process(target=target, args=args, kwargs=given)
    child.start()
    return child


def finish(child: Any, seconds: float = 120) -> int:
    """Its exit status; negative for a signal."""
    child.join(seconds)
    if child.is_alive():
        child.kill()
        raise TimeoutError(f"{child} was still running after {seconds} s")
    status: int = child.exitcode
    return status
