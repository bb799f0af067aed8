"""Makes the golden data of this folder: python make.py

Needs Hugging Face tokenizers (made with 0.23.2) and sentencepiece (0.2.2, for one small character map). Trains a tiny
tokenizer of every kind that Nibble reads, on text made here from a seed, and records what the library makes of strings
chosen to be difficult. Writes NAME.json (the tokenizer) and ids.json: for each tokenizer and string the ids with
special tokens parsed, the ids with special tokens taken as text (null where equal), and the decoded text (null where it
equals the string).
"""
import json, os, random, re, tempfile
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))

STRINGS = [
    "", " ", "  ", "a", " a", "Hello world", "Hello, world!", "  leading and trailing  ", "double  space   triple    four",
    "The old man looked out over the sea and said: \"I don't know, we've seen it; they're gone, it's HERE'S I'LL I'm you'd\"",
    "tabs\tand\nnew\n\nlines\r\nwindows\n \n  \n\n   x\n", "\n", "\n\n\n", "trailing newline\n", " \n ", "a\u00a0b\u2003c\u3000d\u200be\ufefff",
    "1 12 123 1234 12345 3.14159 1,000,000 x86_64 v2.0 ½ ² Ⅷ ٣٤٥ १२३",
    "def f(x):\n    return x**2  # comment\n\nfor i in range(10):\n\tprint(f'{i}')\n", "a+b==c&&d||!e; x->y; <html></html> {\"k\": [1, 2]} $5.00 50% #tag @me",
    "naïve café résumé Ångström ÀÉÎÕÜ ß ẞ œ æ", "e\u0301 a\u030a n\u0303 o\u0308\u0304 \u0301x q\u0307\u0323 q\u0323\u0307", "ﬁ ﬂ ① Ｆｕｌｌ ｗｉｄｔｈ ㎏ ™ … ½ ℌ ſ",
    "İstanbul DİYARBAKIR ΑΣ ΣΊΣΥΦΟΣ ǅ", "你好，世界。我是一个语言模型", "こんにちは世界 カタカナ ｶﾀｶﾅ ガ", "한국어 문장 \u1112\u1161\u11ab\u1100\u1173\u11af",
    "Привет, как дела? ЁЖ", "שלום עולם مرحبا بالعالم", "नमस्ते दुनिया ไทย தமிழ்", "🎉🚀 👨‍👩‍👧‍👦 🇩🇪 👍🏽 ☺️ ☺", "𝒳𝒴 𐐷𐑍 𠀀𠮷你 😀a😀", "mixed 你好hello世界 abc你def",
    "<|endoftext|>", "Hello<|endoftext|>world", " <|endoftext|> x", "<s>[INST] hi [/INST]</s>", "a<mask>b <mask> c  <mask>  d", "<unk> <pad> [UNK] [CLS] x [SEP] [MASK]",
    "<|im_start|>user\nHi<|im_end|>\n", "yesterday Day day DAY Today daylight", "<0x41><0x0A> ▁under▁score ▁ ▁▁", "unaffable UNAFFABLE supercalifragilisticexpialidocious",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "\u0000\u0001\u001f\u007f\u0085\u2028\u2029\ufffd",
    "it'ſ IT'S it’s rock'n'roll 'twas o'clock ''s", "co-operate well-known --- *** ... ?! «quoted» “smart” ‘single’ – —", "a.b,c;d:e!f?g(h)i[j]k{l}m<n>o/p\\q|r~s`t^u&v*w-x=y+z",
    "camelCase PascalCase snake_case SCREAMING_CASE HTTPServer iPhone15Pro", "x" * 5 + " " * 20 + "y", "end with spaces     ",
]

WORDS = ("the of and to in a is that it was for on are as with his they at be this from have or by one had not but what all were when we there "
    "can an your which their said if do will each about how up out them then she many some so these would other into has more her two like him see "
    "time could no make than first been its who now people my made over did down only way find use may water long little very after words called just "
    "where most know get through back much before go good new write our used me man too any day same right look think also around another came come work "
    "Hello World World's don't I'm we've they're it's you'd she'll old sea looked café naïve über schön él niño garçon Привет мир как дела здравствуй "
    "你好 世界 语言 模型 我是 一个 こんにちは カタカナ 한국어 문장 नमस्ते שלום مرحبا def return print range import class self None True x y i j n "
    "http https www com org html json user_name getValue HTTPServer 0 1 2 10 42 100 1999 2024 3.14 unaffable yesterday today under score").split()
PUNCTUATION = [".", ",", "!", "?", ";", ":", " -", "...", "\n", "\n\n", "  ", "\t", " (", ")", "\"", " '", "=", " == ", "+", "()", "[0]", "{}", "\r\n", "😀", "🎉", " $"]


def corpus(lines=1500):
    rng = random.Random(12345)
    for _ in range(lines):
        out = []
        for _ in range(rng.randint(4, 24)):
            word = rng.choice(WORDS[: rng.choice([40, 120, len(WORDS)])])
            out.append(word.capitalize() if rng.random() < 0.1 else word.upper() if rng.random() < 0.03 else word)
            out.append(rng.choice(PUNCTUATION) if rng.random() < 0.15 else "")
            out.append(" " if rng.random() < 0.9 else "")
        yield "".join(out)


LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
DEEPSEEK = [r"\p{N}{1,3}", r"[一-龥぀-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""]
CLIP = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def split(pattern, behavior="isolated", invert=False):
    return pre_tokenizers.Split(Regex(pattern), behavior, invert)


def byte_level(pre, size=460, specials=("<|endoftext|>",), model=None, normalizer=None):
    t = Tokenizer(model or models.BPE())
    t.pre_tokenizer = pre
    if normalizer: t.normalizer = normalizer
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size, special_tokens=list(specials), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return t


def bos_template(t, bos, eos=None):
    tokens = [(x, t.token_to_id(x)) for x in (bos, eos) if x]
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{bos} $A" + (f" {eos}" if eos else ""), special_tokens=tokens)])
    return t


def edit(t, change):
    """What Python's classes do not offer is changed in the file."""
    data = json.loads(t.to_str())
    change(data)
    return Tokenizer.from_str(json.dumps(data))


def gpt2():
    t = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    t.add_tokens([AddedToken("yesterday", single_word=True, normalized=False), AddedToken("[INST]"), AddedToken("[/INST]", normalized=False)])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("<pad>", rstrip=True, normalized=False), "<|im_start|>", "<|im_end|>"])
    return t


def roberta():
    t = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), specials=["<s>", "</s>", "<unk>", "<pad>"])
    t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    t.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return t


def llama3():
    t = byte_level(pre_tokenizers.Sequence([split(LLAMA3), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), model=models.BPE(ignore_merges=True),
        specials=["<|begin_of_text|>", "<|endoftext|>"])
    # A token that no merge makes: only ignore_merges can find it.
    def change(data):
        data["model"]["vocab"]["Ġtrailing"] = max(data["model"]["vocab"].values()) + 1
        data["model"]["merges"] = [" ".join(m) for m in data["model"]["merges"]]
    return bos_template(edit(t, change), "<|begin_of_text|>")


def qwen2():
    t = byte_level(pre_tokenizers.Sequence([split(QWEN2), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), normalizer=normalizers.NFC())
    t.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    return t


def o200k():
    return byte_level(pre_tokenizers.Sequence([split(O200K), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))


def deepseek():
    t = byte_level(pre_tokenizers.Sequence([split(p) for p in DEEPSEEK] + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), specials=["<|begin|>", "<|endoftext|>"])
    return bos_template(t, "<|begin|>", "<|endoftext|>")


def starcoder():
    return byte_level(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]))


def falcon():
    return byte_level(pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
        pre_tokenizers.Digits(individual_digits=False), split("[0-9][0-9][0-9]")]))


def possessive():
    pattern = r"\p{L}++'?+\p{Ll}*+|\p{Number}{2,4}+|[^\s\p{Letter}\p{^L}]|\p{P}{,2}\p{Punctuation}|\w\d?+|[\w\s]{3}?|(?<=a)b(?!c)|\x{41}|\u0042|(?>ab|a)c|^x|y$|\S|\s++"
    pattern = pattern.replace(r"|[\w\s]{3}?", "").replace(r"|[^\s\p{Letter}\p{^L}]", "")
    return byte_level(pre_tokenizers.Sequence([split(pattern, "merged_with_next"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]))


def clip():
    t = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([split(CLIP, "removed", True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=700, special_tokens=["<|startoftext|>", "<|endoftext|>"], end_of_word_suffix="</w>", show_progress=False))
    t.post_processor = processors.RobertaProcessing(("<|endoftext|>", 1), ("<|startoftext|>", 0), False, False)
    return t


def continuing():
    t = Tokenizer(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_previous")])
    t.decoder = decoders.WordPiece(cleanup=False)
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=400, limit_alphabet=120, special_tokens=["[UNK]"], continuing_subword_prefix="##", show_progress=False))
    return t


BYTES = [f"<0x{b:02X}>" for b in range(256)]


def sentencepiece_bpe(pre=None, normalizer=None, size=640, decoder=None, fuse=True, specials=("<unk>", "<s>", "</s>")):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=True))
    if pre: t.pre_tokenizer = pre
    if normalizer: t.normalizer = normalizer
    # Trained on words, as SentencePiece does, and then used on whole texts.
    trainer = Tokenizer(models.BPE(unk_token="<unk>"))
    trainer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size - 256, limit_alphabet=90, special_tokens=list(specials), show_progress=False))
    learnt = json.loads(trainer.to_str())["model"]
    n = len(specials)
    def change(data):
        data["model"]["vocab"] = {**{s: i for i, s in enumerate(specials)}, **{b: n + i for i, b in enumerate(BYTES)},
            **{k: v + 256 for k, v in learnt["vocab"].items() if k not in specials}}
        data["model"]["merges"] = learnt["merges"]
        data["added_tokens"] = [{"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for i, s in enumerate(specials)]
    t = edit(t, change)
    t.decoder = decoder or decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def llama2():
    t = sentencepiece_bpe(normalizer=normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]))
    t.add_tokens([AddedToken("[INST]", normalized=True), AddedToken("daylight", normalized=False)])
    return t


def gemma():
    return sentencepiece_bpe(normalizer=normalizers.Replace(" ", "▁"), pre=pre_tokenizers.Split(" ", "merged_with_previous"),
        decoder=decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]))


def mistral():
    return sentencepiece_bpe(pre=pre_tokenizers.Metaspace(prepend_scheme="first", split=False))


def no_bytes():
    def change(data): data["model"]["byte_fallback"] = False
    t = edit(sentencepiece_bpe(pre=pre_tokenizers.Metaspace(prepend_scheme="always", split=True), fuse=False), change)
    t.decoder = decoders.Metaspace()
    return t


def unigram(pre, normalizer=None, byte_fallback=False, size=500, decoder=None):
    t = Tokenizer(models.Unigram())
    t.pre_tokenizer = pre
    if normalizer: t.normalizer = normalizer
    t.train_from_iterator(corpus(), trainers.UnigramTrainer(vocab_size=size, unk_token="<unk>", special_tokens=["<pad>", "</s>", "<unk>"], show_progress=False, max_piece_length=12))
    def change(data):
        for piece in data["model"]["vocab"]: piece[1] = round(piece[1], 5)
        if byte_fallback:
            data["model"]["byte_fallback"] = True
            data["model"]["vocab"] += [[b, -20.0] for b in BYTES]
    t = edit(t, change)
    t.decoder = decoder or decoders.Metaspace()
    t.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return t


def character_map():
    """A small SentencePiece character map; the real ones are 240 KB."""
    import sentencepiece as spm
    rules = [("ﬁ", "fi"), ("①", "1"), ("½", "1⁄2"), ("…", "..."), ("™", "TM"), ("　", " "), ("\u00a0", " "), ("é", "e"), ("e\u0301", "é"), ("ｶ", "カ"), ("\u200b", ""),
        ("\t", " "), ("\n", " "), ("A\u030a", "Å"), ("n\u0303", "ñ"), ("𝒳", "X"), ("㎏", "kg"), ("ｗ", "w"), ("Ｆ", "F"), ("\u1112\u1161\u11ab", "한"), ("ß", "ss"), ("☺\ufe0f", ":)")]
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/r.tsv", "w") as f:
            for a, b in rules: f.write(" ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) + "\n")
        with open(f"{folder}/t.txt", "w") as f: f.write("\n".join(l.replace("\n", " ") for l in corpus(300)))
        spm.SentencePieceTrainer.train(input=f"{folder}/t.txt", model_prefix=f"{folder}/m", vocab_size=400, model_type="unigram", normalization_rule_tsv=f"{folder}/r.tsv", minloglevel=2, character_coverage=1.0, hard_vocab_limit=False)
        from sentencepiece import sentencepiece_model_pb2 as pb
        model = pb.ModelProto()
        model.ParseFromString(open(f"{folder}/m.model", "rb").read())
        return model.normalizer_spec.precompiled_charsmap


def t5():
    return unigram(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]), normalizers.Precompiled(character_map()))


def unigram_bytes():
    return unigram(pre_tokenizers.Metaspace(split=False), normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " "), normalizers.Strip(left=False, right=True)]),
        byte_fallback=True, decoder=decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()]))


def bert(lowercase=True, accents=None, **rest):
    t = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    t.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=accents, **rest)
    t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    t.decoder = decoders.WordPiece()
    t.train_from_iterator(corpus(), trainers.WordPieceTrainer(vocab_size=500, limit_alphabet=150, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    t.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return t


def word_level():
    t = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Whitespace()
    t.train_from_iterator(corpus(), trainers.WordLevelTrainer(vocab_size=300, special_tokens=["[UNK]"], show_progress=False))
    t.add_tokens([AddedToken("Day", normalized=True)])
    return t


KINDS = dict(gpt2=gpt2, roberta=roberta, llama3=llama3, qwen2=qwen2, o200k=o200k, deepseek=deepseek, starcoder=starcoder, falcon=falcon, possessive=possessive, clip=clip,
    continuing=continuing, llama2=llama2, gemma=gemma, mistral=mistral, nobytes=no_bytes, t5=t5, unigram=unigram_bytes, bert=bert, bertcased=lambda: bert(False, True, handle_chinese_chars=False), wordlevel=word_level)


def results(t):
    rows = []
    for text in STRINGS:
        t.encode_special_tokens = False
        parsed = t.encode(text).ids
        t.encode_special_tokens = True
        plain = t.encode(text).ids
        t.encode_special_tokens = False
        decoded = t.decode(parsed)
        rows.append([parsed, None if plain == parsed else plain, None if decoded == text else decoded])
    return rows


if __name__ == "__main__":
    ids = {"strings": STRINGS}
    for name, make in KINDS.items():
        try:
            t = make()
            with open(f"{HERE}/{name}.json", "w", encoding="utf-8") as f: json.dump(json.loads(t.to_str()), f, ensure_ascii=False, separators=(",", ":"))
            ids[name] = results(t)
        except Exception as e:
            import traceback; traceback.print_exc()
    with open(f"{HERE}/ids.json", "w", encoding="utf-8") as f: json.dump(ids, f, ensure_ascii=False, separators=(",", ":"))
