using Nibble.Models.Tokenizers.Decoding;
using Nibble.Models.Tokenizers.PreTokenizers;

namespace Nibble.Models.Tokenizers.HuggingFace;

/// <summary>Reads the "decoder" of a tokenizer.json into rewritings of single tokens, which is all that published decoders do.</summary>
internal static class DecoderReader
{
    public static PieceDecoder Read(JsonPlace? place)
    {
        // Without a decoder Hugging Face joins tokens with spaces; that is a WordPiece decoder without a prefix.
        if (place is not { } root) return new PieceDecoder([new WordPieceStep("\0", false)], PieceBytes.Text, default);
        var steps = new List<PieceStep>();
        PieceBytes bytes = PieceBytes.Text;
        (char, int) strip = default;
        bool fused = false;
        foreach (JsonPlace step in Flatten(root))
        {
            string type = step.Get("type").Text;
            if ((fused || bytes == PieceBytes.Alphabet) && type is not ("Fuse" or "Strip" or "ByteFallback"))
                throw step.Wrong($"comes after the tokens became text: {type} is not supported there");
            switch (type)
            {
                case "ByteLevel": bytes = PieceBytes.Alphabet; break;
                case "ByteFallback": bytes = PieceBytes.Fallback; break;
                case "Fuse": fused = true; break;
                case "Strip" when step.Get("stop").Integer == 0 && fused: strip = (step.Get("content").Character, step.Get("start").Integer); break;
                case "Replace": steps.Add(new ReplaceStep(step.Get("pattern").Get("String").Text, step.Get("content").Text)); break;
                case "Metaspace":
                    bool prepended = step.FlagOr("add_prefix_space", true) && PreTokenizerReader.Scheme(step) != PrependScheme.Never;
                    steps.Add(new MetaspaceStep(step.Get("replacement").Character, prepended));
                    break;
                case "WordPiece": steps.Add(new WordPieceStep(step.TextOr("prefix", "##"), step.FlagOr("cleanup", true))); break;
                default: throw step.Unsupported("decoder");
            }
        }
        return new PieceDecoder(steps, bytes, strip);
    }

    private static IEnumerable<JsonPlace> Flatten(JsonPlace place) =>
        place.Get("type").Text == "Sequence" ? place.Get("decoders").Items().SelectMany(Flatten) : [place];
}
