"""What a function reaches: what of it is the user's own and travels, and what must be there already.

``analysis`` answers; ``graph`` has the nouns. Nothing here imports or runs code of the user.
"""
