"""Pictures of what you ask for: python examples/first_picture.py "a cat in the snow" """

import sys

import limner

prompt = " ".join(sys.argv[1:]) or "an astronaut riding a horse at sunset"
for number, picture in enumerate(limner.generate(prompt, count=4, seed=7)):
    print(picture.save(f"picture-{number}.png"))
