using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Nibble.Tests;

/// <summary>The model that comes with the project.</summary>
public static class EmbeddedModel
{
    /// <summary>The Hugging Face folder models/nibble-5m of the checkout.</summary>
    public static string Folder { get; } = Find();

    /// <summary>The text that comes with it.</summary>
    public static string Text { get; } = Path.Combine(Folder, "..", "text", "eval.txt");

    /// <summary>Greedy continuations by Hugging Face transformers in float32.</summary>
    public static IReadOnlyList<(string Prompt, int[] Ids, int[] Greedy)> Golden()
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(Folder, "golden.json")));
        return [.. golden.RootElement.GetProperty("prompts").EnumerateArray()
            .Select(p => (p.GetProperty("prompt").GetString()!, Ints(p.GetProperty("prompt_ids")), Ints(p.GetProperty("greedy_ids"))))];
    }

    /// <summary>Copies the model into a folder, with one bfloat16 for all numbers of one tensor.</summary>
    public static void CopyDamaged(string folder, string tensor, ushort number)
    {
        foreach (string file in Directory.EnumerateFiles(Folder)) File.Copy(file, Path.Combine(folder, Path.GetFileName(file)));
        string weights = Path.Combine(folder, "model.safetensors");
        byte[] bytes = File.ReadAllBytes(weights);
        int header = 8 + (int)BinaryPrimitives.ReadInt64LittleEndian(bytes);
        using JsonDocument json = JsonDocument.Parse(bytes.AsMemory(8, header - 8));
        int[] place = Ints(json.RootElement.GetProperty(tensor).GetProperty("data_offsets"));
        MemoryMarshal.Cast<byte, ushort>(bytes.AsSpan(header)[place[0]..place[1]]).Fill(number);
        File.WriteAllBytes(weights, bytes);
    }

    private static int[] Ints(JsonElement array) => [.. array.EnumerateArray().Select(e => e.GetInt32())];

    private static string Find()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            string candidate = Path.Combine(folder.FullName, "models", "nibble-5m");
            if (File.Exists(Path.Combine(candidate, "config.json"))) return candidate;
        }
        throw new DirectoryNotFoundException("models/nibble-5m is not above the test's folder");
    }
}
