"""Byte-level byte-pair encoding: the codec `bpe`, and what it is made of.

`codec` is the class. A tokenizer is kept as a Hugging Face `tokenizer.json`: `tokenizer_json` reads
one,
`tiktoken_ranks` makes one of tiktoken's files, `train` fits one, `lossless` refuses one that loses
bytes.

Encoding goes through these modules, in order: `engine` picks the way, `encoder` drives the kernels,
`added_tokens` finds special tokens, `cutting` cuts text into pieces, `_encode` and `_merge` turn
pieces
into ids. Pieces are cut by a scanner (`_classify`, `_split`) for the patterns in `patterns`, else
by
tables (`regex`, `matcher`, `immediate`, `tables`, `splitting`, then `_walk`). `library` is the slow
way
through `tokenizers`. `decoder` goes back to bytes; `id_coder` compresses ids for files.
"""
