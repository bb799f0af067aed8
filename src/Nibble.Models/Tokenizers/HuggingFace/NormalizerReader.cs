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
                return new NormalizerSequence([.. normalizer.Get("normalizers").Items().Select(item => Read(item)!)]);
            case "Prepend":
                normalizer.Only("prepend");
                return new Prepend(normalizer.Get("prepend").Text);
            case "Replace":
                normalizer.Only("pattern", "content");
                return Replace(normalizer);
            default:
                throw normalizer.Unsupported("normalizer");
        }
    }

    private static Replace Replace(JsonPlace place) => new(place.Get("pattern").Get("String").Text, place.Get("content").Text);
}
