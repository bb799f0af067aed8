using Nibble.Models.Tokenizers.PreTokenizers;

namespace Nibble.Models.Tokenizers.HuggingFace;

/// <summary>Reads the "pre_tokenizer" of a tokenizer.json.</summary>
internal static class PreTokenizerReader
{
    /// <summary>The pre-tokenizer, and whether it ends by turning text into the characters of its bytes.</summary>
    public static (PreTokenizer? PreTokenizer, bool ByteLevel) Read(JsonPlace? place)
    {
        if (place is not { } root) return (null, false);
        List<JsonPlace> steps = [.. Flatten(root)];
        // The bytes are named by the model, so nothing may look at the text after ByteLevel; nothing published does.
        bool byteLevel = steps.Count > 0 && steps[^1].Get("type").Text == "ByteLevel";
        foreach (JsonPlace step in steps.SkipLast(1))
        {
            if (step.Get("type").Text == "ByteLevel") throw step.Wrong("must be the last pre-tokenizer: ByteLevel in the middle is not supported");
        }
        List<PreTokenizer> read = [.. steps.SelectMany(ReadStep)];
        return (read.Count switch { 0 => null, 1 => read[0], _ => new PreTokenizerSequence(read) }, byteLevel);
    }

    private static IEnumerable<JsonPlace> Flatten(JsonPlace place) =>
        place.Get("type").Text == "Sequence" ? place.Get("pretokenizers").Items().SelectMany(Flatten) : [place];

    private static IEnumerable<PreTokenizer> ReadStep(JsonPlace place)
    {
        switch (place.Get("type").Text)
        {
            case "ByteLevel":
                place.Only("add_prefix_space", "trim_offsets", "use_regex");
                if (place.FlagOr("add_prefix_space", true)) yield return new PrefixSpace();
                if (place.FlagOr("use_regex", true)) yield return new PatternSplit(PatternSplit.Gpt2, Delimiters.Isolated, invert: false, place.Where);
                break;
            case "Split":
                yield return Split(place);
                break;
            case "Digits":
                place.Only("individual_digits");
                yield return new CharacterSplit(CharacterSplit.IsNumber, place.FlagOr("individual_digits", false) ? Delimiters.Isolated : Delimiters.Contiguous);
                break;
            case "Punctuation":
                place.Only("behavior");
                yield return new CharacterSplit(CharacterSplit.IsPunctuation, place.Find("behavior") is { } behavior ? Behavior(behavior) : Delimiters.Isolated);
                break;
            case "Whitespace":
                place.Only();
                yield return new WordSplit();
                break;
            case "WhitespaceSplit":
                place.Only();
                yield return new CharacterSplit(CharacterSplit.IsWhiteSpace, Delimiters.Removed);
                break;
            case "BertPreTokenizer":
                place.Only();
                yield return new CharacterSplit(CharacterSplit.IsWhiteSpace, Delimiters.Removed);
                yield return new CharacterSplit(CharacterSplit.IsPunctuation, Delimiters.Isolated);
                break;
            case "CharDelimiterSplit":
                place.Only("delimiter");
                yield return new LiteralSplit(place.Get("delimiter").Text, Delimiters.Removed, invert: false);
                break;
            case "Metaspace":
                yield return Metaspace(place);
                break;
            default:
                throw place.Unsupported("pre-tokenizer");
        }
    }

    private static PreTokenizer Split(JsonPlace place)
    {
        place.Only("pattern", "behavior", "invert");
        JsonPlace pattern = place.Get("pattern");
        Delimiters delimiters = Behavior(place.Get("behavior"));
        bool invert = place.FlagOr("invert", false);
        return pattern.Find("Regex") is { } regex ? new PatternSplit(regex.Text, delimiters, invert, regex.Where)
            : new LiteralSplit(pattern.Get("String").Text, delimiters, invert);
    }

    private static Metaspace Metaspace(JsonPlace place)
    {
        place.Only("replacement", "add_prefix_space", "prepend_scheme", "split", "str_rep");
        PrependScheme scheme = place.FlagOr("add_prefix_space", true) ? Scheme(place) : PrependScheme.Never;
        return new Metaspace(place.Get("replacement").Character, scheme, place.FlagOr("split", true));
    }

    public static PrependScheme Scheme(JsonPlace place) => place.TextOr("prepend_scheme", "always") switch
    {
        "always" => PrependScheme.Always,
        "first" => PrependScheme.First,
        "never" => PrependScheme.Never,
        _ => throw place.Get("prepend_scheme").Wrong("must be 'always', 'first' or 'never'"),
    };

    private static Delimiters Behavior(JsonPlace place) => place.Text switch
    {
        "Removed" => Delimiters.Removed,
        "Isolated" => Delimiters.Isolated,
        "MergedWithPrevious" => Delimiters.MergedWithPrevious,
        "MergedWithNext" => Delimiters.MergedWithNext,
        "Contiguous" => Delimiters.Contiguous,
        _ => throw place.Wrong("must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous"),
    };
}
