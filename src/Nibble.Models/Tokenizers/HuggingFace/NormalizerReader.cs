using Nibble.Models.Tokenizers.Normalizers;

namespace Nibble.Models.Tokenizers.HuggingFace;

/// <summary>Reads the "normalizer" of a tokenizer.json.</summary>
internal static class NormalizerReader
{
    public static Normalizer? Read(JsonPlace? place)
    {
        if (place is not { } normalizer) return null;
        switch (normalizer.Get("type").Text)
        {
            case "Sequence":
                normalizer.Only("normalizers");
                return new NormalizerSequence([.. normalizer.Get("normalizers").Items().Select(item => Read(item)).OfType<Normalizer>()]);
            case "Prepend":
                normalizer.Only("prepend");
                return new Prepend(normalizer.Get("prepend").Text);
            case "Replace":
                normalizer.Only("pattern", "content");
                return Replace(normalizer);
            case "NFC" or "NFD" or "NFKC" or "NFKD":
                normalizer.Only();
                string form = normalizer.Get("type").Text;
                return new UnicodeForm(compose: form.EndsWith('C'), compatibility: form.Contains('K'));
            case "Lowercase":
                normalizer.Only();
                return new Lowercase();
            case "Strip":
                normalizer.Only("strip_left", "strip_right");
                return new Strip(normalizer.Get("strip_left").Flag, normalizer.Get("strip_right").Flag);
            case "StripAccents":
                normalizer.Only();
                return new StripAccents(nonspacingOnly: false);
            case "Nmt":
                normalizer.Only();
                return new Nmt();
            case "Precompiled":
                normalizer.Only("precompiled_charsmap");
                return normalizer.Find("precompiled_charsmap") is { } map ? Map(map) : null;
            case "BertNormalizer":
                return Bert(normalizer);
            default:
                throw normalizer.Unsupported("normalizer");
        }
    }

    private static Normalizer Replace(JsonPlace place)
    {
        JsonPlace pattern = place.Get("pattern");
        string content = place.Get("content").Text;
        return pattern.Find("Regex") is { } regex ? new ReplacePattern(new PatternMatcher(regex.Text, regex.Where), content)
            : new Replace(pattern.Get("String").Text, content);
    }

    private static CharacterMap Map(JsonPlace place)
    {
        try
        {
            return new CharacterMap(Convert.FromBase64String(place.Text), place.Where);
        }
        catch (FormatException)
        {
            throw place.Wrong("is not base64");
        }
    }

    private static NormalizerSequence Bert(JsonPlace place)
    {
        place.Only("clean_text", "handle_chinese_chars", "strip_accents", "lowercase");
        bool lowercase = place.FlagOr("lowercase", true);
        return Bert(place.FlagOr("clean_text", true), place.FlagOr("handle_chinese_chars", true), place.FlagOr("strip_accents", lowercase), lowercase);
    }

    public static NormalizerSequence Bert(bool cleanText, bool spaceIdeographs, bool stripAccents, bool lowercase)
    {
        var steps = new List<Normalizer>();
        if (cleanText) steps.Add(new CleanText());
        if (spaceIdeographs) steps.Add(new SpacedIdeographs());
        if (stripAccents)
        {
            steps.Add(new UnicodeForm(compose: false, compatibility: false));
            steps.Add(new StripAccents(nonspacingOnly: true));
        }
        if (lowercase) steps.Add(new Lowercase());
        return new NormalizerSequence(steps);
    }
}
