using Nibble.Core;
using Nibble.Files.Gguf;
using Nibble.Models.Tokenizers.Models;
using Nibble.Models.Tokenizers.Normalizers;
using Nibble.Models.Tokenizers.PreTokenizers;

namespace Nibble.Models.Tokenizers.Gguf;

/// <summary>Writes a tokenizer as the GGUF keys that llama.cpp reads.</summary>
internal sealed class GgufTokenizerWriter(Tokenizer tokenizer, GgufMetadata metadata)
{
    /// <summary>GGUF's key for a whole tokenizer.json, which llama.cpp ignores.</summary>
    public const string JsonKey = "tokenizer.huggingface.json";

    private static readonly string[] Probes =
    [
        "a", " a", "a b", "a  b ", "a\tb\nc\r\n\r\n d", "a\u00A0b\u2003c\u3000d", "It's 12345 don'T", "e\u0301\u00e9 ﬁ Ⅷ", "你好，世界 한국어", "😀\u200d👍 𝒳", "<s>a</s> b [INST] c",
    ];

    private readonly TokenizerParts _parts = tokenizer.Parts;
    private readonly List<string> _warnings = [];

    public IReadOnlyList<string> Write(int embeddingRows)
    {
        int rows = Math.Max(embeddingRows, tokenizer.VocabularySize);
        string[] tokens = [.. Enumerable.Range(0, rows).Select(id => tokenizer.Token(id) ?? $"[PAD{id}]")];
        switch (_parts.Model)
        {
            case BytePairModel when _parts.NamesBytes: BytePair(); break;
            case BytePairModel { IsAffixed: false }: SentencePiece(rows); break;
            case UnigramModel: Unigram(rows); break;
            case WordPieceModel: WordPiece(tokens); break;
            default: throw new UnusableInputException($"GGUF has no name for a tokenizer of {_parts.Kind}; write a folder of safetensors instead");
        }
        metadata.Set("tokenizer.ggml.tokens", tokens);
        metadata.Set("tokenizer.ggml.token_type", (int[])[.. Enumerable.Range(0, rows).Select(id => (int)TypeOf(id))]);
        Marks();
        AddedTokens();
        Compare();
        if (_warnings.Count > 0 && _parts.Source is { } source && File.Exists(source)) metadata.Set(JsonKey, File.ReadAllText(source));
        return _warnings;
    }

    private void BytePair()
    {
        GgufPreTokenizer? named = GgufPreTokenizer.Like(_parts.PreTokenizer, _parts.IgnoreMerges);
        if (named is null) _warnings.Add($"llama.cpp has no name for this pre-tokenizer ({_parts.PreTokenizer?.Signature ?? "none"}); it will cut text by its default, and some ids will differ");
        else if (named.IgnoreMerges != _parts.IgnoreMerges) _warnings.Add("llama.cpp will merge where this tokenizer takes whole words from its vocabulary (ignore_merges)");
        if (_parts.Normalizer is not null) _warnings.Add("llama.cpp will not normalize text for this tokenizer, so some Unicode text will get other ids");
        metadata.Set("tokenizer.ggml.model", "gpt2");
        metadata.Set("tokenizer.ggml.pre", named?.Names[0] ?? "default");
        metadata.Set("tokenizer.ggml.merges", (string[])[.. _parts.Merges.Select(m => $"{m.Left} {m.Right}")]);
    }

    private void SentencePiece(int rows)
    {
        metadata.Set("tokenizer.ggml.model", "llama");
        metadata.Set("tokenizer.ggml.pre", "default");
        float[]? scores = ScoredMerges.Scores(_parts.Vocabulary, _parts.Merges);
        if (scores is null)
        {
            _warnings.Add("llama.cpp merges by a token's score, which cannot say the order of this tokenizer's merges; some ids will differ");
            scores = new float[_parts.Vocabulary.Size];
            for (int rank = _parts.Merges.Count - 1; rank >= 0; rank--) scores[_parts.Vocabulary.Find(_parts.Merges[rank].Joined())] = -1 - rank;
        }
        Array.Resize(ref scores, rows);
        metadata.Set("tokenizer.ggml.scores", scores);
        SpacePrefix();
    }

    /// <summary>llama.cpp puts a space before every stretch of text between special tokens, or before none.</summary>
    private void SpacePrefix()
    {
        string probe = string.Concat(Pieces("a b"));
        bool prefix = probe.StartsWith('\u2581');
        metadata.Set("tokenizer.ggml.add_space_prefix", prefix);
        bool marksSpaces = probe.EndsWith("a\u2581b", StringComparison.Ordinal);
        bool always = string.Concat(Pieces("\u2581a")) == (prefix ? "\u2581\u2581a" : "\u2581a");
        bool everywhere = !prefix || _parts.PreTokenizer is not Metaspace { Scheme: PrependScheme.First };
        if (!marksSpaces || !always || !everywhere) _warnings.Add("llama.cpp puts a space before all text between special tokens, where this tokenizer does so only sometimes; some ids will differ");
        if (_parts.PreTokenizer is not (null or Metaspace or LiteralSplit)) _warnings.Add($"llama.cpp does not cut text for this kind of tokenizer, but this one does ({_parts.PreTokenizer.Signature})");
    }

    private List<ReadOnlyMemory<char>> Pieces(string text)
    {
        text = _parts.Normalizer?.Apply(text) ?? text;
        List<ReadOnlyMemory<char>> pieces = [];
        if (_parts.PreTokenizer is null) pieces.Add(text.AsMemory());
        else _parts.PreTokenizer.Split(text.AsMemory(), first: true, pieces);
        return pieces;
    }

    private void Unigram(int rows)
    {
        metadata.Set("tokenizer.ggml.model", "t5");
        metadata.Set("tokenizer.ggml.pre", "default");
        float[] scores = [.. _parts.Scores.Select(s => (float)s)];
        Array.Resize(ref scores, rows);
        metadata.Set("tokenizer.ggml.scores", scores);
        metadata.Set("tokenizer.ggml.add_space_prefix", string.Concat(Pieces("a")).StartsWith('\u2581'));
        metadata.Set("tokenizer.ggml.remove_extra_whitespaces", string.Concat(Pieces("a  a")) is "a\u2581a" or "\u2581a\u2581a");
        if (_parts.Normalizer is CharacterMap map) metadata.Set("tokenizer.ggml.precompiled_charsmap", map.ToArray());
        else if (_parts.Normalizer is not null) _warnings.Add("llama.cpp will normalize text otherwise than this tokenizer does; some ids will differ");
    }

    private void WordPiece(string[] tokens)
    {
        metadata.Set("tokenizer.ggml.model", "bert");
        metadata.Set("tokenizer.ggml.pre", "default");
        for (int id = 0; id < tokens.Length; id++)
        {
            if (TypeOf(id) == GgufTokenType.Normal) tokens[id] = tokens[id].StartsWith("##", StringComparison.Ordinal) ? tokens[id][2..] : "\u2581" + tokens[id];
        }
        if (string.Concat(Pieces("É")) != "e") _warnings.Add("llama.cpp will put text in lower case and strip its accents, which this tokenizer does not");
    }

    private void Marks()
    {
        Set("bos", _parts.Bos ?? First(_parts.Prefix));
        Set("eos", _parts.Eos ?? First(_parts.Suffix));
        if (_parts.Unknown >= 0) Set("unknown", _parts.Unknown);
        int[] others = [.. _parts.EndTokens.Where(id => id != _parts.Eos)];
        if (others.Length > 0) Set("eot", others[0]);
        if (others.Length > 1) Set("eom", others[1]);
        if (_parts.Model is WordPieceModel) Set("seperator", First(_parts.Suffix));
        else metadata.Set("tokenizer.ggml.add_eos_token", _parts.Suffix.Count > 0);
        metadata.Set("tokenizer.ggml.add_bos_token", _parts.Prefix.Count > 0);
        if (_parts.Prefix.Count > 1 || _parts.Suffix.Count > 1) _warnings.Add("llama.cpp begins and ends a text with one token at most; this tokenizer has more");
        if (_parts.ChatTemplate is { } template) metadata.Set("tokenizer.chat_template", template);
    }

    private void AddedTokens()
    {
        AddedToken[] odd = [.. _parts.Added.Where(t => t.StripLeft || t.StripRight || t.SingleWord)];
        if (odd.Length > 0) _warnings.Add($"GGUF cannot say that {odd.Length} added token{(odd.Length == 1 ? "" : "s")} ('{Vocabulary.Shown(odd[0].Content)}') swallow spaces or stand alone");
    }

    /// <summary>Reads what was written and tries it on text that tokenizers disagree on, for what no rule above foresaw.</summary>
    private void Compare()
    {
        if (_warnings.Count > 0) return;
        var written = Tokenizer.FromGguf(metadata);
        foreach (string probe in Probes)
        {
            if (written.Encode(probe).AsSpan().SequenceEqual(tokenizer.Encode(probe))) continue;
            _warnings.Add($"llama.cpp will give other ids to some text, such as '{Vocabulary.Shown(probe)}'");
            return;
        }
    }

    private void Set(string name, int? id)
    {
        if (id is { } known) metadata.Set($"tokenizer.ggml.{name}_token_id", (uint)known);
    }

    private static int? First(IReadOnlyList<int> ids) => ids.Count > 0 ? ids[0] : null;

    private GgufTokenType TypeOf(int id)
    {
        if (tokenizer.Token(id) is not { } token) return GgufTokenType.Unused;
        if (id == _parts.Unknown && !_parts.NamesBytes) return GgufTokenType.Unknown;
        if (tokenizer.Added.TryGetValue(id, out AddedToken? added)) return added.Special ? GgufTokenType.Control : GgufTokenType.UserDefined;
        bool isByte = !_parts.NamesBytes && token.Length == 6 && token.StartsWith("<0x", StringComparison.Ordinal) && token[5] == '>';
        return isByte ? GgufTokenType.Byte : GgufTokenType.Normal;
    }
}
