using System.Text.Json;

namespace Nibble.Tests.Cli;

/// <summary>The model and the text that ship with the program.</summary>
internal static class EmbeddedModel
{
    public static string Folder { get; } = Path.Combine(Root(), "models", "nibble-5m");

    public static string Text { get; } = Path.Combine(Root(), "models", "text", "eval.txt");

    /// <summary>Greedy continuations by Hugging Face transformers in float32.</summary>
    public static IEnumerable<(string Prompt, int[] Ids, int[] Greedy)> Golden()
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Folder, "golden.json")));
        return [.. golden.RootElement.GetProperty("prompts").EnumerateArray()
            .Select(p => (p.GetProperty("prompt").GetString()!, Ints(p.GetProperty("prompt_ids")), Ints(p.GetProperty("greedy_ids"))))];
    }

    private static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(e => e.GetInt32())];

    private static string Root()
    {
        DirectoryInfo? folder = new(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Nibble.slnx"))) folder = folder.Parent;
        return folder?.FullName ?? throw new InvalidOperationException("the tests must run inside the checkout");
    }
}
