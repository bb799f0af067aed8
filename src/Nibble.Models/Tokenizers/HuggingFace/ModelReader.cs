using Nibble.Core;
using Nibble.Models.Tokenizers.Decoding;
using Nibble.Models.Tokenizers.Models;

namespace Nibble.Models.Tokenizers.HuggingFace;

/// <summary>Reads the "model" of a tokenizer.json: the vocabulary, and how pieces become its tokens.</summary>
internal static class ModelReader
{
    private static readonly PieceDecoder Plain = new([], PieceBytes.Text, default);

    public static TokenizerParts Read(JsonPlace model, bool byteLevel)
    {
        // Files of before 2020 have no type; their BPE is told by its merges.
        string type = model.TextOr("type", model.Find("merges") is null ? "" : "BPE");
        if (byteLevel && type != "BPE") throw model.Wrong($"is {type}, which does not go with the pre-tokenizer ByteLevel");
        return type switch
        {
            "BPE" => BytePair(model, byteLevel),
            "Unigram" => Unigram(model),
            "WordPiece" => WordPiece(model),
            "WordLevel" => WordLevel(model),
            _ => throw model.Unsupported("model"),
        };
    }

    private static TokenizerParts BytePair(JsonPlace model, bool byteLevel)
    {
        model.Only("vocab", "merges", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges");
        if (model.Find("dropout") is { } dropout && dropout.Number != 0) throw dropout.Wrong("must be 0: with dropout the ids are random");
        Vocabulary vocabulary = ReadVocabulary(model);
        var options = new BytePairOptions
        {
            ByteLevel = byteLevel,
            ByteFallback = model.FlagOr("byte_fallback", false),
            IgnoreMerges = model.FlagOr("ignore_merges", false),
            FuseUnknown = model.FlagOr("fuse_unk", false),
            Unknown = Unknown(model, vocabulary),
            ContinuingPrefix = model.TextOr("continuing_subword_prefix", ""),
            EndOfWordSuffix = model.TextOr("end_of_word_suffix", ""),
        };
        JsonPlace merges = model.Get("merges");
        TokenPair[] pairs = [.. merges.Items().Select(MergePair)];
        return new TokenizerParts
        {
            Kind = byteLevel ? "byte-level BPE" : "BPE",
            Vocabulary = vocabulary,
            Model = new BytePairModel(vocabulary, pairs, options, merges.Where),
            Merges = pairs,
            IgnoreMerges = options.IgnoreMerges,
            Unknown = options.Unknown,
            Decoder = Plain,
        };
    }

    private static TokenizerParts Unigram(JsonPlace model)
    {
        model.Only("vocab", "unk_id", "byte_fallback");
        List<(string Token, int Id)> tokens = [];
        List<double> scores = [];
        foreach (JsonPlace entry in model.Get("vocab").Items())
        {
            if (entry.Items().ToArray() is not [JsonPlace token, JsonPlace score]) throw entry.Wrong("must be a token and its score");
            tokens.Add((token.Text, tokens.Count));
            scores.Add(score.Number);
        }
        int unknown = model.Find("unk_id")?.Integer ?? -1;
        if (unknown >= tokens.Count) throw model.Get("unk_id").Wrong($"is {unknown}, but there are only {tokens.Count} tokens");
        var vocabulary = new Vocabulary(tokens, model.Get("vocab").Where);
        return new TokenizerParts
        {
            Kind = "unigram",
            Vocabulary = vocabulary,
            Scores = scores,
            Unknown = unknown,
            Model = new UnigramModel(vocabulary, [.. scores], unknown, model.FlagOr("byte_fallback", false)),
            Decoder = Plain,
        };
    }

    private static TokenizerParts WordPiece(JsonPlace model)
    {
        model.Only("vocab", "unk_token", "continuing_subword_prefix", "max_input_chars_per_word");
        Vocabulary vocabulary = ReadVocabulary(model);
        int unknown = Unknown(model, vocabulary);
        if (unknown < 0) throw model.Wrong("lacks 'unk_token', the token for unknown words");
        int longest = model.Find("max_input_chars_per_word")?.Integer ?? 100;
        return new TokenizerParts
        {
            Kind = "WordPiece",
            Vocabulary = vocabulary,
            Unknown = unknown,
            Model = new WordPieceModel(vocabulary, unknown, model.TextOr("continuing_subword_prefix", "##"), longest),
            Decoder = Plain,
        };
    }

    private static TokenizerParts WordLevel(JsonPlace model)
    {
        model.Only("vocab", "unk_token");
        Vocabulary vocabulary = ReadVocabulary(model);
        int unknown = Unknown(model, vocabulary);
        if (unknown < 0) throw model.Wrong("lacks 'unk_token', the token for unknown words");
        return new TokenizerParts { Kind = "words", Vocabulary = vocabulary, Unknown = unknown, Model = new WordLevelModel(vocabulary, unknown), Decoder = Plain };
    }

    /// <summary>A merge is a pair of strings, or in older files one string with a space between.</summary>
    private static TokenPair MergePair(JsonPlace merge)
    {
        if (merge.Value.ValueKind == System.Text.Json.JsonValueKind.Array)
        {
            return merge.Value.GetArrayLength() == 2 && merge.Items().ToArray() is [JsonPlace left, JsonPlace right]
                ? TokenPair.Of(left.Text, right.Text) : throw merge.Wrong("must be two tokens");
        }
        int space = merge.Text.IndexOf(' ');
        return space >= 0 && space == merge.Text.LastIndexOf(' ') ? TokenPair.Separated(merge.Text, space)
            : throw merge.Wrong("must be two tokens with one space between");
    }

    private static Vocabulary ReadVocabulary(JsonPlace model)
    {
        JsonPlace vocab = model.Get("vocab");
        return new Vocabulary([.. vocab.Entries().Select(e => (e.Key, e.Value.Integer))], vocab.Where);
    }

    private static int Unknown(JsonPlace model, Vocabulary vocabulary)
    {
        if (model.Find("unk_token") is not { } token || token.Text.Length == 0) return -1;
        int id = vocabulary.Find(token.Text);
        return id >= 0 ? id : throw token.Wrong($"is '{Vocabulary.Shown(token.Text)}', which is not in the vocabulary");
    }
}
