"""OpenAI's own Python client, unchanged, against `limner serve`.

limner serve &
python examples/openai_client.py
"""

import base64
from pathlib import Path

import openai

client = openai.OpenAI(base_url="http://127.0.0.1:7860/v1", api_key="none")  # or the --token

answer = client.images.generate(
    model="embedded", prompt="a panda on the grass", size="128x128", response_format="b64_json"
)
panda = base64.b64decode(answer.data[0].b64_json)
Path("panda.png").write_bytes(panda)

# A picture that varies it, and one that is watched as it comes.
answer = client.images.create_variation(image=panda, response_format="b64_json")
Path("another-panda.png").write_bytes(base64.b64decode(answer.data[0].b64_json))

for event in client.images.generate(
    model="embedded", prompt="a rocket in space", size="128x128", stream=True, partial_images=2
):
    Path(f"{event.type}.png").write_bytes(base64.b64decode(event.b64_json))
    print(event.type)
