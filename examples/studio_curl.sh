#!/usr/bin/env bash
# The studio from a shell: start it with `limner serve`, then run this.
set -euo pipefail
studio=${1:-http://127.0.0.1:7860}

# A job of any task: what came back names it, and its events end with it.
job=$(curl -sf "$studio/api/tasks/generate" -H 'Content-Type: application/json' \
  -H "Idempotency-Key: curl-$$" -d '{"prompt": "a dragon in the snow", "count": 2}' |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
curl -sfN "$studio/api/jobs/$job/events" | cut -c1-120

# Its pictures, the first as a file.
picture=$(curl -sf "$studio/api/jobs/$job" |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["pictures"][0]["id"])')
curl -sf "$studio/api/pictures/$picture/file" -o dragon.png

# A task with a picture: multipart.
curl -sf "$studio/api/tasks/vary" -F picture=@dragon.png -F count=1

# What is in the gallery that looks like this?
curl -sfG "$studio/api/pictures/search" --data-urlencode 'words=a dragon' -d limit=3
