import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
from _toy import TINY, Bars


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks gain nothing from more, and sums keep their order from process to process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def words(tmp_path_factory):
    """The tokenizer of what is said of Bars, of TINY's size."""
    from limner.training._data import Captioned
    from limner.training._tokenizer import make_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    sizes = {name: TINY[name] for name in ("vocab_size", "length")}
    return make_tokenizer(Captioned(Bars()).captions(100), folder, **sizes)
