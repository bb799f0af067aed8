using Nibble.Core;
using Nibble.Files.Gguf;
using Nibble.Models.Tokenizers.Decoding;
using Nibble.Models.Tokenizers.HuggingFace;
using Nibble.Models.Tokenizers.Models;
using Nibble.Models.Tokenizers.Normalizers;
using Nibble.Models.Tokenizers.PreTokenizers;

namespace Nibble.Models.Tokenizers.Gguf;

/// <summary>Reads the tokenizer of a GGUF file: the keys <c>tokenizer.ggml.*</c>, or the tokenizer.json in it if there is one.</summary>
internal sealed class GgufTokenizerReader
{
    private const char Mark = '\u2581';                  // SentencePiece's visible space

    // llama.cpp stops at these whatever the file says, since many files say too little.
    private static readonly string[] EndNames =
    [
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>", "<|eom_id|>", "<EOT>", "_<EOT>",
        "<|end_of_text|>", "<end_of_utterance>", "<｜end▁of▁sentence｜>",
    ];

    private readonly GgufMetadata _metadata;
    private readonly string[] _tokens;
    private readonly GgufTokenType[] _types;
    private readonly Vocabulary _vocabulary;
    private readonly List<string> _warnings = [];

    private GgufTokenizerReader(GgufMetadata metadata)
    {
        _metadata = metadata;
        _tokens = metadata.GetArray<string>("tokenizer.ggml.tokens");
        long[] types = metadata.Contains("tokenizer.ggml.token_type") ? metadata.GetIntegers("tokenizer.ggml.token_type") : [];
        if (types.Length != 0) RequireLength("token_type", types.Length);
        _types = [.. _tokens.Select((_, id) => types.Length == 0 ? GgufTokenType.Normal : (GgufTokenType)types[id])];
        _vocabulary = new Vocabulary(_tokens, $"{metadata.Path}: tokenizer.ggml.tokens");
    }

    public static TokenizerParts Read(GgufMetadata metadata)
    {
        if (!metadata.Contains("tokenizer.ggml.model"))
            throw new UnusableInputException($"{metadata.Path}: holds no tokenizer (tokenizer.ggml.model); give the model's Hugging Face folder instead, or convert it again");
        return new GgufTokenizerReader(metadata).Read();
    }

    private TokenizerParts Read()
    {
        string model = _metadata.GetString("tokenizer.ggml.model");
        TokenizerParts parts = model switch
        {
            "gpt2" => BytePair(),
            "llama" => SentencePiece(),
            "t5" => Unigram(),
            "bert" => WordPiece(),
            _ => throw new UnusableInputException($"{_metadata.Path}: the tokenizer model '{Vocabulary.Shown(model)}' (tokenizer.ggml.model) is not supported; gpt2, llama, t5 and bert are"),
        };
        parts = parts with { Added = Added(), Warnings = _warnings };
        if (_metadata.Contains(GgufTokenizerWriter.JsonKey)) parts = TokenizerJson.Parse(_metadata.GetString(GgufTokenizerWriter.JsonKey), $"{_metadata.Path}: {GgufTokenizerWriter.JsonKey}");
        return Marked(parts, model);
    }

    /// <summary>Adds what begins, ends and stops a text, with llama.cpp's defaults for each model.</summary>
    private TokenizerParts Marked(TokenizerParts parts, string model)
    {
        bool addBosByName = model == "gpt2" && _metadata.Contains(PreKey) && GgufPreTokenizer.Named(_metadata.GetString(PreKey), _metadata.Path).AddBos;
        int? bos = Id("bos", model switch { "llama" => 1, "bert" => 101, "gpt2" => 11, _ => null });
        int? eos = Id("eos", model switch { "llama" => 2, "t5" => 1, "gpt2" => 11, _ => null });
        int? separator = Id("seperator", model == "bert" ? 102 : null);    // the key is spelled so
        bool addBos = _metadata.GetBool("tokenizer.ggml.add_bos_token", model is "llama" or "bert" || addBosByName);
        bool addEos = _metadata.GetBool("tokenizer.ggml.add_eos_token", model == "t5");
        bool addSeparator = _metadata.GetBool("tokenizer.ggml.add_sep_token", model == "bert");
        List<int> suffix = [];
        if (addSeparator && separator is { } s) suffix.Add(s);
        if (addEos && eos is { } e && !suffix.Contains(e)) suffix.Add(e);
        List<int> end = [];
        foreach (int? id in new[] { eos, Id("eot", null), Id("eom", null) }) if (id is { } known && !end.Contains(known)) end.Add(known);
        foreach (string name in EndNames) if (parts.Vocabulary.Find(name) is var id and >= 0 && !end.Contains(id)) end.Add(id);
        // In gpt-oss's format <|end|> ends a message, after which the model goes on to the next.
        if (parts.Vocabulary.Find("<|return|>") >= 0 && parts.Vocabulary.Find("<|call|>") >= 0) end.Remove(parts.Vocabulary.Find("<|end|>"));
        return parts with
        {
            Bos = bos,
            Eos = eos,
            EndTokens = end,
            Prefix = addBos && bos is { } b ? [b] : [],
            Suffix = suffix,
            ChatTemplate = _metadata.Contains("tokenizer.chat_template") ? _metadata.GetString("tokenizer.chat_template") : null,
        };
    }

    private const string PreKey = "tokenizer.ggml.pre";

    private TokenizerParts BytePair()
    {
        string pre = _metadata.GetString(PreKey, "default");
        if (!_metadata.Contains(PreKey)) _warnings.Add($"{_metadata.Path} does not name its pre-tokenizer ({PreKey}); llama.cpp's default is taken, and text may be cut otherwise than in training");
        GgufPreTokenizer named = GgufPreTokenizer.Named(pre, _metadata.Path);
        string[] merges = _metadata.GetArray<string>("tokenizer.ggml.merges");
        var pairs = new TokenPair[merges.Length];
        for (int rank = 0; rank < merges.Length; rank++)
        {
            string merge = merges[rank];
            int space = merge.Length == 0 ? -1 : merge.IndexOf(' ', 1);
            if (space < 1) throw new UnusableInputException($"{_metadata.Path}: tokenizer.ggml.merges holds '{Vocabulary.Shown(merge)}', which is not two tokens with a space between");
            pairs[rank] = TokenPair.Separated(merge, space);
        }
        var options = new BytePairOptions { ByteLevel = true, IgnoreMerges = named.IgnoreMerges };
        return new TokenizerParts
        {
            Kind = "byte-level BPE",
            Vocabulary = _vocabulary,
            Model = new BytePairModel(_vocabulary, pairs, options, $"{_metadata.Path}: tokenizer.ggml.merges"),
            Merges = pairs,
            IgnoreMerges = named.IgnoreMerges,
            NamesBytes = true,
            PreTokenizer = named.PreTokenizer,
            Decoder = new PieceDecoder([], PieceBytes.Alphabet, default),
        };
    }

    private TokenizerParts SentencePiece()
    {
        float[] scores = Scores();
        bool prefix = _metadata.GetBool("tokenizer.ggml.add_space_prefix", true);
        var options = new BytePairOptions { ByteFallback = true, FuseUnknown = true, Unknown = Unknown() };
        List<Normalizer> normalizers = [new Replace(" ", Mark.ToString())];
        if (prefix) normalizers.Add(new Prepend(Mark.ToString()));
        return new TokenizerParts
        {
            Kind = "BPE",
            Vocabulary = _vocabulary,
            Model = new BytePairModel(_vocabulary, ScoredMerges.Table(_vocabulary, scores, id => _types[id] is GgufTokenType.Normal or GgufTokenType.UserDefined), options),
            Unknown = options.Unknown,
            Normalizer = new NormalizerSequence(normalizers),
            Decoder = new PieceDecoder([new ReplaceStep(Mark.ToString(), " ")], PieceBytes.Fallback, prefix ? (' ', 1) : default),
        };
    }

    private TokenizerParts Unigram()
    {
        float[] scores = Scores();
        bool prefix = _metadata.GetBool("tokenizer.ggml.add_space_prefix", true);
        List<Normalizer> normalizers = [];
        if (_metadata.Contains("tokenizer.ggml.precompiled_charsmap"))
            normalizers.Add(new CharacterMap(_metadata.GetArray<byte>("tokenizer.ggml.precompiled_charsmap"), $"{_metadata.Path}: tokenizer.ggml.precompiled_charsmap"));
        if (_metadata.GetBool("tokenizer.ggml.remove_extra_whitespaces", false)) normalizers.Add(new SingleSpaces());
        return new TokenizerParts
        {
            Kind = "unigram",
            Vocabulary = _vocabulary,
            Scores = [.. scores],
            Unknown = Unknown(),
            Model = new UnigramModel(_vocabulary, [.. scores], Unknown(), byteFallback: false),
            Normalizer = new NormalizerSequence(normalizers),
            PreTokenizer = new Metaspace(Mark, prefix ? PrependScheme.Always : PrependScheme.Never, split: false),
            Decoder = new PieceDecoder([new MetaspaceStep(Mark, prefix)], PieceBytes.Text, default),
        };
    }

    /// <summary>GGUF marks the tokens that begin a word, with SentencePiece's space; BERT's own files mark those that continue one.</summary>
    private TokenizerParts WordPiece()
    {
        const string continuation = "##";
        (string, int)[] entries = [.. _tokens.Select((token, id) =>
            (_types[id] != GgufTokenType.Normal ? token : token.StartsWith(Mark) ? token[1..] : continuation + token, id))];
        var vocabulary = new Vocabulary(entries, $"{_metadata.Path}: tokenizer.ggml.tokens");
        int unknown = Id("unknown", 100) ?? throw new UnusableInputException($"{_metadata.Path}: lacks tokenizer.ggml.unknown_token_id, the token for unknown words");
        return new TokenizerParts
        {
            Kind = "WordPiece",
            Vocabulary = vocabulary,
            Unknown = unknown,
            Model = new WordPieceModel(vocabulary, unknown, continuation, longestWord: 100),
            Normalizer = NormalizerReader.Bert(cleanText: true, spaceIdeographs: true, stripAccents: true, lowercase: true),
            PreTokenizer = PreTokenizerReader.Bert,
            Decoder = new PieceDecoder([new WordPieceStep(continuation, Cleanup: true)], PieceBytes.Text, default),
        };
    }

    private List<AddedToken> Added()
    {
        List<AddedToken> added = [];
        for (int id = 0; id < _tokens.Length; id++)
        {
            if (_tokens[id].Length > 0 && _types[id] is GgufTokenType.Control or GgufTokenType.UserDefined or GgufTokenType.Unknown)
                added.Add(new AddedToken(id, _tokens[id], Special: _types[id] != GgufTokenType.UserDefined));
        }
        return added;
    }

    private float[] Scores()
    {
        float[] scores = _metadata.GetArray<float>("tokenizer.ggml.scores");
        RequireLength("scores", scores.Length);
        return scores;
    }

    private int Unknown() => Id("unknown", null) ?? Array.IndexOf(_types, GgufTokenType.Unknown);

    private int? Id(string name, int? fallback)
    {
        string key = $"tokenizer.ggml.{name}_token_id";
        if (!_metadata.Contains(key)) return fallback < _tokens.Length ? fallback : null;
        uint id = _metadata.GetUInt32(key);
        return id < _tokens.Length ? (int)id : throw new UnusableInputException($"{_metadata.Path}: {key} is {id}, but there are only {_tokens.Length} tokens");
    }

    private void RequireLength(string name, int length)
    {
        if (length != _tokens.Length)
            throw new UnusableInputException($"{_metadata.Path}: tokenizer.ggml.{name} has {length} entries for {_tokens.Length} tokens");
    }
}
