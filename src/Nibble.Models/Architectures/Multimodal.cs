namespace Nibble.Models.Architectures;

/// <summary>
/// Models that see as well as read, whose text part is a decoder of this list: its configuration is <c>text_config</c>, its
/// tensors have a prefix. Only the text part is read.
/// </summary>
internal static class Multimodal
{
    /// <summary>
    /// By model type: what a text_config means that does not say it, since makers leave out what is the default of
    /// transformers.
    /// </summary>
    private static readonly Dictionary<string, string> TextTypes = new()
    {
        ["gemma3"] = "gemma3_text",
        ["llava"] = "llama",
        ["llava_next"] = "llama",
        ["vipllava"] = "llama",
        ["llava_onevision"] = "qwen2",
        ["mistral3"] = "mistral",
    };

    private static readonly Dictionary<string, string> Defaults = new()
    {
        ["llama"] = """
            {"model_type": "llama", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
            "max_position_embeddings": 2048}
            """,
        ["mistral"] = """
            {"model_type": "mistral", "vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
            "num_key_value_heads": 8, "max_position_embeddings": 131072, "sliding_window": 4096}
            """,
        ["qwen2"] = """
            {"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 4096, "intermediate_size": 22016, "num_hidden_layers": 32, "num_attention_heads": 32,
            "num_key_value_heads": 32, "max_position_embeddings": 32768}
            """,
        ["gemma3_text"] = """
            {"model_type": "gemma3_text", "vocab_size": 262208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8,
            "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072}
            """,
    };

    /// <summary>The configuration of the text part, or null for a model that only reads.</summary>
    /// <exception cref="Core.UnusableInputException">It should be there and is not.</exception>
    public static JsonConfig? TextOf(JsonConfig json)
    {
        if (json.Text("model_type") is not { } type || !TextTypes.TryGetValue(type, out string? textType)) return null;
        JsonConfig text = json.Section("text_config") ?? throw json.Error("text_config", "is missing");
        textType = text.Text("model_type") ?? textType;
        return text.WithDefaults(Defaults.GetValueOrDefault(textType, "{}"));
    }
}
