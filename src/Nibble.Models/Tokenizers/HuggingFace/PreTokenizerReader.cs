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
        List<PreTokenizer> read = [.. steps.SelectMany(ReadStep)];
        // Where nothing comes after the naming of the bytes, the model does it, and only for pieces it has not seen before.
        bool byteLevel = read.Count > 0 && read[^1] is ByteNames;
        if (byteLevel) read.RemoveAt(read.Count - 1);
        return (Sequence(read), byteLevel);
    }

    /// <summary>Words between white space, and punctuation marks by themselves.</summary>
    public static PreTokenizer Bert { get; } = new PreTokenizerSequence(
        [new CharacterSplit(CharacterKind.WhiteSpace, Delimiters.Removed), new CharacterSplit(CharacterKind.Punctuation, Delimiters.Isolated)]);

    public static PreTokenizer? Sequence(IReadOnlyList<PreTokenizer> steps) => steps.Count switch
    {
        0 => null,
        1 => steps[0],
        _ => new PreTokenizerSequence(steps),
    };

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
                yield return new ByteNames();
                break;
            case "Split":
                yield return Split(place);
                break;
            case "Digits":
                place.Only("individual_digits");
                yield return new CharacterSplit(CharacterKind.Number, place.FlagOr("individual_digits", false) ? Delimiters.Isolated : Delimiters.Contiguous);
                break;
            case "Punctuation":
                place.Only("behavior");
                yield return new CharacterSplit(CharacterKind.Punctuation, place.Find("behavior") is { } behavior ? Behavior(behavior) : Delimiters.Isolated);
                break;
            case "Whitespace":
                place.Only();
                yield return new WordSplit();
                break;
            case "WhitespaceSplit":
                place.Only();
                yield return new CharacterSplit(CharacterKind.WhiteSpace, Delimiters.Removed);
                break;
            case "BertPreTokenizer":
                place.Only();
                yield return Bert;
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
