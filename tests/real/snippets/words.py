"""Text: regular expressions compiled at the head of the script, Counter, pathlib, Unicode."""

import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path, PurePosixPath

from clustrix import cluster

WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
POEM = Path(__file__).with_name("poem.txt")


def plain(word):
    return "".join(c for c in unicodedata.normalize("NFD", word.lower()) if not unicodedata.combining(c))


@cluster
def counted(text, place):
    words = Counter(plain(word) for word in WORD.findall(text))
    by_length = defaultdict(set)
    for word in words:
        by_length[len(word)].add(word)
    return words.most_common(3), sorted(by_length[max(by_length)]), place.with_suffix(".counts")


if __name__ == "__main__":
    print(counted(POEM.read_text("utf-8"), PurePosixPath("corpus/poem.txt")))
