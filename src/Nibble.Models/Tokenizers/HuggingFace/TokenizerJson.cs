using Nibble.Core;
using Nibble.Models.Tokenizers.PreTokenizers;

namespace Nibble.Models.Tokenizers.HuggingFace;

/// <summary>Reads a tokenizer.json. Every component is either understood or an error that names it.</summary>
internal static class TokenizerJson
{
    /// <exception cref="UnusableInputException">Something in the file is wrong or not supported.</exception>
    public static TokenizerParts Read(string file) => JsonPlace.Read(file, Read) with { Source = file };

    /// <summary>Reads a tokenizer.json that another file holds.</summary>
    /// <exception cref="UnusableInputException">Something in it is wrong or not supported.</exception>
    public static TokenizerParts Parse(string json, string file) => JsonPlace.Parse(System.Text.Encoding.UTF8.GetBytes(json), file, Read);

    private static TokenizerParts Read(JsonPlace root)
    {
        var (preTokenizer, byteLevel) = PreTokenizerReader.Read(root.Find("pre_tokenizer"));
        TokenizerParts parts = ModelReader.Read(root.Get("model"), byteLevel);
        List<AddedToken> added = AddedTokens(root.Find("added_tokens"), parts.Vocabulary);
        var (prefix, suffix) = PostProcessorReader.Read(root.Find("post_processor"));
        return parts with
        {
            Normalizer = NormalizerReader.Read(root.Find("normalizer")),
            PreTokenizer = preTokenizer,
            NamesBytes = byteLevel || (preTokenizer is PreTokenizerSequence sequence && sequence.Steps.Any(s => s is ByteNames)),
            Added = added,
            Prefix = prefix,
            Suffix = suffix,
            Decoder = DecoderReader.Read(root.Find("decoder")),
        };
    }

    private static List<AddedToken> AddedTokens(JsonPlace? list, Vocabulary vocabulary)
    {
        var added = new List<AddedToken>();
        if (list is null) return added;
        List<JsonPlace> items = [.. list.Value.Items()];
        var seen = new Dictionary<int, string>();
        foreach (JsonPlace item in items)
        {
            AddedToken token = AddedToken(item, item.Get("id").Integer);
            int known = vocabulary.Find(token.Content);
            if (known >= 0 && known != token.Id)
                throw item.Wrong($"gives '{Vocabulary.Shown(token.Content)}' the id {token.Id}, but the vocabulary {known}");
            if (token.Id < 0 || token.Id >= 2L * (vocabulary.Size + items.Count) + 4096)
                throw item.Wrong($"has the id {token.Id}, but there are only {vocabulary.Size + items.Count} tokens");
            if (!seen.TryAdd(token.Id, token.Content)) throw item.Wrong($"repeats the id {token.Id}");
            if (token.Content.Length > 0) added.Add(token);
        }
        return added;
    }

    public static AddedToken AddedToken(JsonPlace item, int id)
    {
        item.Only("id", "content", "single_word", "lstrip", "rstrip", "normalized", "special", "__type");
        return new(id, item.Get("content").Text, item.FlagOr("special", false), item.FlagOr("lstrip", false),
            item.FlagOr("rstrip", false), item.FlagOr("single_word", false), item.FlagOr("normalized", false));
    }
}
