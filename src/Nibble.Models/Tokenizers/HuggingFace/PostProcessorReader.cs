namespace Nibble.Models.Tokenizers.HuggingFace;

/// <summary>Reads the "post_processor" of a tokenizer.json: the ids before and after a text.</summary>
internal static class PostProcessorReader
{
    public static (List<int> Prefix, List<int> Suffix) Read(JsonPlace? place)
    {
        var prefix = new List<int>();
        var suffix = new List<int>();
        if (place is { } root) Read(root, prefix, suffix);
        return (prefix, suffix);
    }

    private static void Read(JsonPlace place, List<int> prefix, List<int> suffix)
    {
        switch (place.Get("type").Text)
        {
            case "Sequence":
                foreach (JsonPlace step in place.Get("processors").Items()) Read(step, prefix, suffix);
                break;
            case "ByteLevel":                            // moves offsets, which nobody here has
                break;
            case "TemplateProcessing":
                Template(place, prefix, suffix);
                break;
            case "BertProcessing" or "RobertaProcessing":
                prefix.Insert(0, Pair(place.Get("cls")));
                suffix.Add(Pair(place.Get("sep")));
                break;
            default:
                throw place.Unsupported("post-processor");
        }
    }

    private static void Template(JsonPlace place, List<int> prefix, List<int> suffix)
    {
        place.Only("single", "pair", "special_tokens");
        bool seen = false;
        var before = new List<int>();
        foreach (JsonPlace item in place.Get("single").Items())
        {
            if (item.Find("Sequence") is { } sequence)
            {
                if (seen || sequence.Get("id").Text != "A") throw item.Wrong("must be the only sequence, A");
                seen = true;
                continue;
            }
            string name = item.Get("SpecialToken").Get("id").Text;
            (seen ? suffix : before).AddRange(place.Get("special_tokens").Get(name).Get("ids").Items().Select(id => id.Integer));
        }
        if (!seen) throw place.Get("single").Wrong("must hold the sequence A");
        prefix.InsertRange(0, before);
    }

    /// <summary>A token and its id.</summary>
    private static int Pair(JsonPlace pair) => pair.Items().ToArray() is [_, JsonPlace id] ? id.Integer : throw pair.Wrong("must be a token and its id");
}
