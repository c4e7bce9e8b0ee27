"""The requests and answers of OpenAI's image API, as its Python client sends and reads them.

Source: the types of the `openai` package (types/image_generate_params.py and its neighbours). What
limner cannot do is refused; what has no meaning here (quality, moderation …) is taken and left.
Fields marked as limner's are further ones, which the client sends with `extra_body`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = [
    "Answer",
    "Asked",
    "Drawn",
    "Edit",
    "Generation",
    "Model",
    "Models",
    "Usage",
    "Variation",
    "event",
]


def _sides(size: str) -> str:
    sides = [int(side) for side in size.split("x")] if size != "auto" else [_LARGEST]
    if not all(_SMALLEST <= side <= _LARGEST for side in sides):
        raise ValueError(f"give width x height from {_SMALLEST} to {_LARGEST}, such as 128x128")
    return size


_SMALLEST, _LARGEST = 8, 1024  # pixels of a side
_Size = Annotated[
    str,
    Field(pattern=r"^(auto|[0-9]{1,4}x[0-9]{1,4})$", examples=["128x128"]),
    AfterValidator(_sides),
]
_Prompt = Annotated[str, Field(min_length=1, max_length=32_000)]
_Word = Annotated[str, Field(max_length=1000)]
_Own = "limner's own"


class Asked(BaseModel):
    """What all three kinds of request may say."""

    model_config = ConfigDict(extra="forbid")
    model: _Word | None = None
    n: Annotated[int, Field(ge=1, le=10)] | None = None
    size: _Size | None = None
    response_format: Literal["url", "b64_json"] | None = None
    user: _Word | None = None
    seed: Annotated[int, Field(ge=0, lt=2**64, description=_Own)] | None = None
    steps: Annotated[int, Field(ge=1, le=200, description=_Own)] | None = None

    @property
    def kind(self) -> str:
        """PNG, JPEG or WEBP."""
        return str(getattr(self, "output_format", None) or "png").upper()


class Worded(Asked):
    """What the two kinds of request with words may say."""

    prompt: _Prompt
    background: Literal["opaque", "auto"] | None = None
    moderation: Literal["low", "auto"] | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = None
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto", "standard", "hd"] | None = (
        None
    )
    complexity: Literal["low", "medium", "high"] | None = None
    safety_identifier: _Word | None = None
    stream: bool | None = None
    negative: Annotated[str, Field(max_length=32_000, description=_Own)] | None = None
    guidance_scale: Annotated[float, Field(ge=-100, le=100, description=_Own)] | None = None
    sampler: Annotated[str, Field(max_length=100, description=_Own)] | None = None


class Generation(Worded):
    """POST /v1/images/generations"""

    style: Literal["vivid", "natural"] | None = None


class Edit(Worded):
    """POST /v1/images/edits: with a mask what is transparent in it is painted anew (or what is
    transparent in the picture), else all of the picture in other words."""

    input_fidelity: Literal["high", "low"] | None = None
    strength: Annotated[float, Field(gt=0, le=1, description=_Own)] | None = None


class Variation(Asked):
    """POST /v1/images/variations"""

    keep: Annotated[float, Field(ge=0, le=1, description=_Own)] | None = None


class TokenDetails(BaseModel):
    image_tokens: int = 0
    text_tokens: int = 0


class Usage(BaseModel):
    """Nothing is counted or charged for here: zeros, where clients expect numbers."""

    input_tokens: int = 0
    input_tokens_details: TokenDetails = TokenDetails()
    output_tokens: int = 0
    total_tokens: int = 0


class Drawn(BaseModel):
    """One picture: its bytes in base64, or where they are."""

    b64_json: str | None = None
    url: str | None = None
    id: str = Field(description="limner's own: the picture's id in the gallery")


class Answer(BaseModel):
    """What is answered when all pictures are there."""

    created: int
    data: list[Drawn]
    background: Literal["opaque"] = "opaque"
    output_format: str
    size: str
    usage: Usage = Usage()
    job: str = Field(description="limner's own: the job's id")


class Model(BaseModel):
    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str = "limner"


class Models(BaseModel):
    object: Literal["list"] = "list"
    data: list[Model]


def event(
    kind: str, *, data: str, size: str, made: int, kind_of_file: str, index: int | None = None
) -> dict[str, Any]:
    """An event of a stream: a partial picture with its index, or a completed one."""
    told: dict[str, Any] = {
        "type": kind,
        "b64_json": data,
        "background": "opaque",
        "created_at": made,
        "output_format": kind_of_file,
        "quality": "auto",
        "size": size,
    }
    more = {"usage": Usage().model_dump()} if index is None else {"partial_image_index": index}
    return told | more
