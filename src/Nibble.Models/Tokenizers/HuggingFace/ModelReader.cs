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
        List<(string Left, string Right)> pairs = [.. merges.Items().Select(MergePair)];
        return new TokenizerParts
        {
            Kind = byteLevel ? "byte-level BPE" : "BPE",
            Vocabulary = vocabulary,
            Model = new BytePairModel(vocabulary, pairs, options, merges.Where),
            Merges = pairs,
            Decoder = Plain,
        };
    }

    /// <summary>A merge is a pair of strings, or in older files one string with a space between.</summary>
    private static (string Left, string Right) MergePair(JsonPlace merge)
    {
        if (merge.Value.ValueKind == System.Text.Json.JsonValueKind.Array)
        {
            return merge.Value.GetArrayLength() == 2 && merge.Items().ToArray() is [JsonPlace left, JsonPlace right]
                ? (left.Text, right.Text) : throw merge.Wrong("must be two tokens");
        }
        string[] parts = merge.Text.Split(' ');
        return parts.Length == 2 ? (parts[0], parts[1]) : throw merge.Wrong("must be two tokens with one space between");
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
