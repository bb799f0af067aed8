using System.Globalization;
using Nibble.Core;

namespace Nibble.Models.Tokenizers.HuggingFace;

/// <summary>Puts together what a Hugging Face folder says of its tokenizer in up to six files.</summary>
internal static class FolderTokenizer
{
    public static Tokenizer Read(string folder)
    {
        ArgumentNullException.ThrowIfNull(folder);
        string file = Path.Combine(folder, "tokenizer.json");
        if (!File.Exists(file))
            throw new UnusableInputException($"{folder}: has no tokenizer.json; save the tokenizer with transformers' save_pretrained, which writes it");
        TokenizerParts parts = TokenizerJson.Read(file);
        parts = Optional(folder, "special_tokens_map.json", parts, Named);
        parts = Optional(folder, "tokenizer_config.json", parts, Configured);
        parts = Optional(folder, "config.json", parts, EndTokens);
        parts = Optional(folder, "generation_config.json", parts, EndTokens);
        string template = Path.Combine(folder, "chat_template.jinja");
        if (File.Exists(template)) parts = parts with { ChatTemplate = File.ReadAllText(template) };
        if (parts.Eos is { } eos && !parts.EndTokens.Contains(eos)) parts = parts with { EndTokens = [eos, .. parts.EndTokens] };
        return new Tokenizer(parts);
    }

    private static TokenizerParts Optional(string folder, string name, TokenizerParts parts, Func<JsonPlace, TokenizerParts, TokenizerParts> apply)
    {
        string file = Path.Combine(folder, name);
        return File.Exists(file) ? JsonPlace.Read(file, root => apply(root, parts)) : parts;
    }

    private static TokenizerParts Configured(JsonPlace config, TokenizerParts parts)
    {
        parts = Named(config, WithDeclaredTokens(config, parts));
        return parts with
        {
            Prefix = Adjusted(config, "add_bos_token", parts.Prefix, parts.Bos, atStart: true),
            Suffix = Adjusted(config, "add_eos_token", parts.Suffix, parts.Eos, atStart: false),
            ChatTemplate = Template(config) ?? parts.ChatTemplate,
        };
    }

    /// <summary>Tokens that only tokenizer_config.json declares are added as if tokenizer.json had them.</summary>
    private static TokenizerParts WithDeclaredTokens(JsonPlace config, TokenizerParts parts)
    {
        if (config.Find("added_tokens_decoder") is not { } declared) return parts;
        HashSet<int> known = [.. parts.Added.Select(t => t.Id)], declaredHere = [];
        List<AddedToken> missing = [];
        foreach ((string key, JsonPlace entry) in declared.Entries())
        {
            if (!int.TryParse(key, CultureInfo.InvariantCulture, out int id) || id < 0 || id >= 2L * (parts.Vocabulary.Size + known.Count) + 4096) throw entry.Wrong("has no sensible id as its key");
            if (known.Contains(id)) continue;
            if (!declaredHere.Add(id)) throw entry.Wrong($"repeats the id {id}");
            missing.Add(TokenizerJson.AddedToken(entry, id));
        }
        return parts with { Added = [.. parts.Added, .. missing] };
    }

    /// <summary>bos_token and eos_token, as a string or as an added token.</summary>
    private static TokenizerParts Named(JsonPlace place, TokenizerParts parts) => parts with
    {
        Bos = Id(place, "bos_token", parts) ?? parts.Bos,
        Eos = Id(place, "eos_token", parts) ?? parts.Eos,
    };

    private static int? Id(JsonPlace place, string key, TokenizerParts parts)
    {
        if (place.Find(key) is not { } token) return null;
        string text = token.Value.ValueKind == System.Text.Json.JsonValueKind.Object ? token.Get("content").Text : token.Text;
        int? id = parts.Added.FirstOrDefault(t => t.Content == text)?.Id;
        if (id is null && parts.Vocabulary.Find(text) is var known and >= 0) id = known;
        return id ?? throw token.Wrong($"is '{Vocabulary.Shown(text)}', which the tokenizer does not have");
    }

    /// <summary>add_bos_token and add_eos_token outrank the post-processor where they are given.</summary>
    private static IReadOnlyList<int> Adjusted(JsonPlace config, string key, IReadOnlyList<int> ids, int? token, bool atStart)
    {
        if (config.Find(key) is not { } wanted) return ids;
        if (token is not { } id) return wanted.Flag ? throw wanted.Wrong("is true, but no such token is named") : ids;
        if (ids.Contains(id) == wanted.Flag) return ids;
        if (!wanted.Flag) return [.. ids.Where(other => other != id)];
        return atStart ? [id, .. ids] : [.. ids, id];
    }

    /// <summary>A template, or the one called "default" of several.</summary>
    private static string? Template(JsonPlace config)
    {
        if (config.Find("chat_template") is not { } template) return null;
        if (template.Value.ValueKind == System.Text.Json.JsonValueKind.String) return template.Text;
        foreach (JsonPlace named in template.Items())
        {
            if (named.Get("name").Text == "default") return named.Get("template").Text;
        }
        return null;
    }

    /// <summary>What generation ends at. No token is below 0, which says that there is none.</summary>
    private static TokenizerParts EndTokens(JsonPlace config, TokenizerParts parts)
    {
        if (config.Find("eos_token_id") is not { } ids) return parts;
        int[] end = ids.Value.ValueKind == System.Text.Json.JsonValueKind.Array ? [.. ids.Items().Select(id => id.Integer)] : [ids.Integer];
        return parts with { EndTokens = [.. end.Where(id => id >= 0)] };
    }
}
