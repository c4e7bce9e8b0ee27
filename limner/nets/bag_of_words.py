"""A text tower that forgets the order of words: Radford et al. 2021, figure 2, "bag of words"."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["BagOfWords"]


class BagOfWords(nn.Module):
    """(b, n) token ids → (b, d): embeddings of the tokens before the end, gathered, then projected.

    The start token counts, so that an empty caption has a vector too; what follows the first end
    token does not, so that padding changes nothing.
    """

    def __init__(
        self,
        vocab_size: int,
        width: int,  # of a token's embedding
        *,
        output_dim: int,
        end: int,  # id of the end token
        mean: bool = True,  # else the sum, in which long captions are long vectors
    ) -> None:
        super().__init__()
        self.end, self.mean = end, mean
        table = torch.empty(vocab_size, width)
        self.token_embedding = nn.Embedding.from_pretrained(table, freeze=False)
        self.final_layer_norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, output_dim, bias=False)
        if table.is_meta:  # drawing there would import torch's compiler (3 s)
            return
        nn.init.normal_(self.token_embedding.weight, std=0.02)  # as CLIP's text tower
        nn.init.normal_(self.projection.weight, std=width**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        ended = (ids == self.end).cumsum(dim=1) > 0  # (b, n), true from the end token on
        words = (~ended).to(self.token_embedding.weight.dtype).unsqueeze(2)
        bag = (self.token_embedding(ids) * words).sum(dim=1)
        if self.mean:
            bag = bag / words.sum(dim=1).clamp(min=1)
        projected: Tensor = self.projection(self.final_layer_norm(bag))
        return projected
