"""The nouns, colours and other words of the world ``scenes``, as aligned tables.

``core`` is what the embedded model was trained on: few enough words that a small network learns
each of them well on a laptop. ``full`` adds more of the emoji font for larger trainings.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "BACKGROUNDS",
    "COLOURS",
    "COUNTS",
    "HOLDABLE",
    "MATERIALS",
    "MOUNTS",
    "PLURALS",
    "RELATIONS",
    "SHAPES",
    "SIZES",
    "STYLES",
    "Noun",
    "glyph_nouns",
    "plural",
    "with_article",
]


class Noun(NamedTuple):
    """A word and the emoji that draws it; ``role`` says which relations it can take part in."""

    word: str
    glyph: str
    role: str  # being | food | tool | wearable | mount | thing


CORE = (
    Noun("astronaut", "\U0001f9d1\u200d\U0001f680", "being"),
    Noun("horse", "🐎", "mount"),
    Noun("monkey", "🐒", "being"),
    Noun("banana", "🍌", "food"),
    Noun("hedgehog", "🦔", "being"),
    Noun("abacus", "🧮", "tool"),
    Noun("cactus", "🌵", "thing"),
    Noun("panda", "🐼", "being"),
    Noun("squirrel", "🐿️", "being"),
    Noun("burger", "🍔", "food"),
    Noun("brain", "🧠", "being"),
    Noun("rocket", "🚀", "mount"),
    Noun("dragon", "🐉", "mount"),
    Noun("robot", "🤖", "being"),
    Noun("cat", "🐈", "being"),
    Noun("apple", "🍎", "food"),
    Noun("mushroom", "🍄", "food"),
    Noun("penguin", "🐧", "being"),
    Noun("avocado", "🥑", "food"),
    Noun("car", "🚗", "mount"),
    Noun("top hat", "🎩", "wearable"),
    Noun("balloon", "🎈", "tool"),
    Noun("tree", "🌳", "thing"),
    Noun("crown", "👑", "wearable"),
)

# word glyph role, more of the font, in the order in which a larger training should add them
_MORE = """
dog 🐕 being|fox 🦊 being|owl 🦉 being|frog 🐸 being|rabbit 🐇 being|elephant 🐘 mount|lion 🦁 being
tiger 🐅 mount|bear 🐻 being|koala 🐨 being|pig 🐖 being|cow 🐄 mount|sheep 🐑 being|goat 🐐 being
camel 🐫 mount|giraffe 🦒 being|kangaroo 🦘 being|zebra 🦓 mount|duck 🦆 being|swan 🦢 being
eagle 🦅 being|parrot 🦜 being|flamingo 🦩 being|turtle 🐢 mount|crocodile 🐊 mount|snake 🐍 being
whale 🐳 mount|dolphin 🐬 mount|shark 🦈 mount|octopus 🐙 being|crab 🦀 being|lobster 🦞 being
snail 🐌 being|butterfly 🦋 being|bee 🐝 being|ladybug 🐞 being|spider 🕷️ being|unicorn 🦄 mount
dinosaur 🦖 mount|ghost 👻 being|alien 👽 being|snowman ⛄ being|santa 🎅 being|skull 💀 being
pumpkin 🎃 thing|bicycle 🚲 mount|bus 🚌 mount|train 🚂 mount|boat ⛵ mount|airplane ✈️ mount
helicopter 🚁 mount|tractor 🚜 mount|scooter 🛴 mount|skateboard 🛹 mount|house 🏠 thing
castle 🏰 thing|tent ⛺ thing|pizza 🍕 food|donut 🍩 food|cake 🎂 food|cookie 🍪 food|bread 🍞 food
cheese 🧀 food|egg 🥚 food|carrot 🥕 food|corn 🌽 food|tomato 🍅 food|broccoli 🥦 food
garlic 🧄 food|pineapple 🍍 food|strawberry 🍓 food|watermelon 🍉 food|lemon 🍋 food
pear 🍐 food|grapes 🍇 food
cherries 🍒 food|peach 🍑 food|coconut 🥥 food|taco 🌮 food|sushi 🍣 food|lollipop 🍭 food
guitar 🎸 tool|violin 🎻 tool|trumpet 🎺 tool|drum 🥁 tool|piano 🎹 tool|camera 📷 tool
phone 📱 tool|laptop 💻 tool|book 📖 tool|pencil ✏️ tool|key 🔑 tool|hammer 🔨 tool
umbrella ☂️ tool|lamp 💡 tool
telescope 🔭 tool|microscope 🔬 tool|clock ⏰ thing|trophy 🏆 tool|gem 💎 thing|bell 🔔 thing
teapot 🫖 thing|cup ☕ tool|gift 🎁 thing|candle 🕯️ thing|anchor ⚓ thing|football ⚽ thing
basketball 🏀 thing|rose 🌹 thing|tulip 🌷 thing|sunflower 🌻 thing|palm 🌴 thing|pine 🌲 thing
glasses 👓 wearable|cap 🧢 wearable|scarf 🧣 wearable|shoe 👟 thing|backpack 🎒 thing|star ⭐ thing
"""


def glyph_nouns(vocabulary: str) -> tuple[Noun, ...]:
    """The nouns drawn from the emoji font; ``vocabulary`` is ``core`` or ``full``."""
    more = [entry.split() for entry in _MORE.replace("\n", "|").split("|") if entry.strip()]
    extra = tuple(Noun(word, glyph, role) for word, glyph, role in more)
    return {"core": CORE, "full": CORE + extra}[vocabulary]


SHAPES = ("cube", "sphere", "cylinder", "cone", "torus")

COLOURS = {  # sRGB of a shape's lit side
    "red": (222, 36, 36),
    "orange": (250, 138, 20),
    "yellow": (250, 214, 30),
    "green": (40, 165, 60),
    "blue": (40, 95, 225),
    "purple": (140, 50, 190),
    "pink": (250, 130, 185),
    "brown": (130, 78, 40),
    "black": (38, 38, 42),
    "white": (246, 246, 246),
    "grey": (140, 140, 145),
}

SIZES = {"small": 0.34, "": 0.54, "large": 0.74}  # side of the object over side of the picture

COUNTS = {"two": 2, "three": 3, "four": 4}

# The phrase of each background, and the shape colours that would vanish in front of it.
BACKGROUNDS = {
    "plain": ("", ()),
    "grass": ("on the grass", ("green",)),
    "beach": ("on the beach", ("yellow",)),
    "night": ("at night", ("black", "blue")),
    "snow": ("in the snow", ("white",)),
    "sea": ("on the sea", ("blue",)),
    "desert": ("in the desert", ("orange", "yellow")),
    "sunset": ("at sunset", ("orange",)),
    "space": ("in space", ("black",)),
    "underwater": ("underwater", ("blue",)),
    "city": ("in the city", ("grey",)),
    "forest": ("in the forest", ("green",)),
    "red": ("on a red background", ("red",)),
    "yellow": ("on a yellow background", ("yellow",)),
    "blue": ("on a blue background", ("blue",)),
    "green": ("on a green background", ("green",)),
}

# material → phrasings around the noun
MATERIALS = {
    "wooden": ("wooden {}", "{} made of wood"),
    "golden": ("golden {}", "{} made of gold"),
    "ice": ("{} made of ice", "ice {}"),
    "stone": ("stone {}", "{} made of stone"),
    "stained glass": ("stained glass {}", "{} made of stained glass"),
    "crochet": ("crochet {}", "{} made of crochet"),
    "clay": ("clay {}", "{} made of clay"),
}

STYLES = {  # style → phrasings around the whole scene
    "watercolor": ("a watercolor of {}", "{}, watercolor"),
    "oil painting": ("an oil painting of {}", "{}, oil painting"),
    "pencil sketch": ("a pencil sketch of {}", "{}, pencil sketch"),
    "pixel art": ("pixel art of {}", "{}, pixel art"),
    "mosaic": ("a mosaic of {}", "{}, mosaic"),
    "neon": ("a neon sign of {}", "{}, neon"),
    "comic": ("a comic of {}", "{}, comic"),
}

RELATIONS = {  # relation → phrasings between the two things
    "left of": ("to the left of", "left of"),
    "right of": ("to the right of", "right of"),
    "above": ("above",),
    "below": ("below", "under"),
    "on top of": ("on top of",),
    "next to": ("next to", "beside"),
    "riding": ("riding",),
    "holding": ("holding",),
    "eating": ("eating",),
    "using": ("using",),
    "wearing": ("wearing",),
}
MOUNTS = ("mount",)
HOLDABLE = {"holding": ("food", "tool"), "eating": ("food",), "using": ("tool",)}

PLURALS = {
    "cactus": "cacti",
    "torus": "tori",
    "abacus": "abacuses",
    "avocado": "avocados",
    "octopus": "octopuses",
    "bus": "buses",
    "sheep": "sheep",
    "fox": "foxes",
    "sushi": "sushi",
    "grapes": "grapes",
    "cherries": "cherries",
    "glasses": "glasses",
    "corn": "corn",
    "garlic": "garlic",
    "bread": "bread",
    "broccoli": "broccoli",
}


def plural(word: str) -> str:
    """``monkey`` → ``monkeys``, ``strawberry`` → ``strawberries``, ``cactus`` → ``cacti``."""
    if word in PLURALS:
        return PLURALS[word]
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")


def with_article(phrase: str) -> str:
    """``apple`` → ``an apple``; ``unicorn`` → ``a unicorn``."""
    vowel = phrase[0] in "aeiou" and not phrase.startswith(("uni", "one"))
    return f"{'an' if vowel else 'a'} {phrase}"
