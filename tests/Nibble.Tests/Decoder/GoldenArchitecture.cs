using System.Text.Json;

namespace Nibble.Tests.Decoder;

/// <summary>What transformers computed of a tiny checkpoint in float32.</summary>
public sealed record GoldenArchitecture(int[] InputIds, int[] Positions, float[][] Logits, int[] Greedy, double NllMean, float[][] HiddenStates)
{
    public static GoldenArchitecture Read(string folder)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "golden.json")));
        JsonElement root = document.RootElement;
        return new GoldenArchitecture(
            Ints(root, "input_ids"), Ints(root, "logits_positions"), Rows(root, "logits"), Ints(root, "greedy"),
            root.TryGetProperty("nll_mean", out JsonElement nll) ? nll.GetDouble() : 0, Rows(root, "last_hidden_state"));
    }

    private static int[] Ints(JsonElement root, string key) =>
        root.TryGetProperty(key, out JsonElement list) ? [.. list.EnumerateArray().Select(e => e.GetInt32())] : [];

    private static float[][] Rows(JsonElement root, string key) =>
        root.TryGetProperty(key, out JsonElement list) ? [.. list.EnumerateArray().Select(row => row.EnumerateArray().Select(e => e.GetSingle()).ToArray())] : [];
}
