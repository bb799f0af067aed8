using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.Json;

namespace Nibble.Tests.Golden;

/// <summary>
/// What ggml makes of 8 rows of 512 floats (<c>input.f32</c>) in every one of its types, without and with the importance
/// of the 512 columns: the bytes (<c>NAME.bin</c>) and, for most, what it decodes them to (<c>NAME.f32</c>).
/// </summary>
public static class GoldenGgml
{
    public const int Rows = 8, Columns = 512;

    /// <param name="Name">File name without ending: <c>q4_k</c> or <c>q4_k-imatrix</c>.</param>
    /// <param name="Type">ggml's name of the type.</param>
    /// <param name="Id">GGUF type number.</param>
    /// <param name="Block">Weights a block.</param>
    /// <param name="BlockBytes">Bytes a block.</param>
    /// <param name="Importance">True if the bytes were made with the importance.</param>
    /// <param name="RelativeError">Mean-square error over mean square, of ggml's own encoder.</param>
    public sealed record Entry(string Name, string Type, uint Id, int Block, int BlockBytes, bool Importance, double RelativeError);

    public static IReadOnlyList<Entry> Entries { get; } = ReadManifest();

    public static float[] Input => Floats("input.f32");

    public static float[] ColumnImportance => Floats("importance.f32");

    public static bool Has(string file) => File.Exists(Path(file));

    public static byte[] Bytes(string file) => File.ReadAllBytes(Path(file));

    public static float[] Floats(string file) => MemoryMarshal.Cast<byte, float>(Bytes(file)).ToArray();

    private static Entry[] ReadManifest()
    {
        using JsonDocument manifest = JsonDocument.Parse(Bytes("manifest.json"));
        return [.. manifest.RootElement.GetProperty("types").EnumerateArray().Select(e => new Entry(
            e.GetProperty("name").GetString()!, e.GetProperty("type").GetString()!, e.GetProperty("id").GetUInt32(),
            e.GetProperty("block").GetInt32(), e.GetProperty("type_size").GetInt32(), e.GetProperty("imatrix").GetBoolean(),
            e.GetProperty("rel_mse").GetDouble()))];
    }

    private static string Path(string file, [CallerFilePath] string here = "") =>
        System.IO.Path.Combine(System.IO.Path.GetDirectoryName(here)!, "ggml", file);
}
