"""CLIP's text encoder with its projection, as the models with several text encoders read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from limner.models import _folder
from limner.models._transformer import TextTower

__all__ = ["ProjectedTower", "open_projected", "tower_weights"]


class ProjectedTower(nn.Module):
    """Tokens (b, n) → what the last layer but one makes of them (b, n, d), and the projected state
    of the end (b, p): transformers' CLIPTextModelWithProjection."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.tower = TextTower(config)
        self.projection = nn.Linear(config["hidden_size"], config["projection_dim"], bias=False)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        tower = self.tower
        *_, before, last = tower.encoder.states(tower.embeddings(tokens))
        return before, self.projection(tower.at_end(tower.final_layer_norm(last), tokens))


def tower_weights(folder: Path) -> dict[str, Tensor]:
    """Of a CLIP text encoder by a TextTower's names, and `text_projection.weight` where it is."""
    return {
        name.removeprefix("text_model."): weight
        for name, weight in _folder.weights(folder).items()
        if not name.endswith("position_ids")
    }


def open_projected(folder: Path) -> ProjectedTower:
    """Raises BadInput for what does not fit."""
    config = {"projection_dim": 512, **_folder.read_json(folder / "config.json")}
    state = {
        "projection.weight" if name == "text_projection.weight" else f"tower.{name}": weight
        for name, weight in tower_weights(folder).items()
    }
    return _folder.assembled(ProjectedTower, config, state, folder)
