"""CLIP and SigLIP: what a user of transformers or open_clip writes, and limner's own calls.

    python examples/clip_judges.py FOLDER cat.png

FOLDER is a CLIPModel's or SiglipModel's for transformers, or of open_clip's layout; or a hub id.
"""

import sys

import limner

LABELS = ["a cat", "a dog"]


def by_transformers(folder: str, file: str) -> list[float]:
    import torch
    from PIL import Image
    from transformers import AutoModel, AutoProcessor

    model = AutoModel.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    siglip = model.config.model_type == "siglip"  # which was trained on texts of full length
    given = processor(
        text=LABELS,
        images=Image.open(file).convert("RGB"),
        padding="max_length" if siglip else True,
        return_tensors="pt",
    )
    with torch.no_grad():
        logits = model(**given).logits_per_image[0]
    return (logits.sigmoid() if siglip else logits.softmax(0)).tolist()


def by_open_clip(folder: str, file: str) -> list[float]:
    import open_clip
    import torch
    from PIL import Image

    model, _, show = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(LABELS)
    with torch.no_grad():
        picture = model.eval().encode_image(show(Image.open(file))[None], normalize=True)
        texts = model.encode_text(tokens, normalize=True)
    return (model.logit_scale.exp() * picture @ texts.T).softmax(1)[0].tolist()


def by_limner(folder: str, file: str) -> list[float]:
    (found,) = limner.classify([file], labels=LABELS, templates=["{}"], clip=folder)
    return [found.labels[label] for label in LABELS]


def embeddings(folder: str, file: str) -> None:
    """What `by_limner` is made of."""
    clip = limner.open_clip(folder)
    pictures = clip.embed_pictures(limner.load(file).pixels[None])  # (1, d), of length 1
    texts = clip.embed_texts(LABELS)
    print("cosines", (pictures @ texts.T)[0].tolist())
    print("logits ", clip.logits(pictures, texts)[0].tolist())
    print("chances", clip.chances(pictures, texts)[0].tolist())


def judge(folder: str) -> None:
    """The same CLIP leads a search: limner paint "a cat" --clip FOLDER"""
    (picture,) = limner.paint("a cat", clip=folder, generator="fourier", steps=20, size=(64, 64))
    print(picture.save("cat-by-clip.png"))


if __name__ == "__main__":
    folder, file = sys.argv[1:3]
    print("limner", by_limner(folder, file))
    embeddings(folder, file)
    judge(folder)
