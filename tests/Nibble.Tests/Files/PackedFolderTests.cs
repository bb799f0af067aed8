using System.Text;
using System.Text.Json.Nodes;
using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Files.Packed;
using Nibble.Files.Safetensors;
using Nibble.Models;

namespace Nibble.Tests.Files;

/// <summary>Formats that no other file knows, in safetensors and config.json.</summary>
public sealed class PackedFolderTests : IDisposable
{
    private static readonly string[] Formats = ["Linear4-g32", "Linear3-sym-row", "Linear2-tensor", "Log4-g32-s8", "NF4", "Vector4x16", "Vector8-E8-g32", "Q4_0"];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    private string Packed => _folder.PathOf("packed");

    /// <summary>The embedded model with each matrix in another format, the rest as it is; returns what each format decodes to.</summary>
    private Dictionary<string, float[]> WriteModel()
    {
        using var original = new SafetensorsFolder(EmbeddedModel.Folder);
        int next = 0;
        TensorInfo[] tensors = [.. original.Tensors.Select(t => t.Shape.Count < 2 ? t
            : TensorInfo.Of(t.Name, Format.Parse(Formats[next++ % Formats.Length]).ForColumns((int)t.Columns), t.Shape))];
        var decoded = new Dictionary<string, float[]>();
        using var writer = new PackedWriter(Packed, EmbeddedModel.Folder, tensors);
        foreach (TensorInfo tensor in tensors)
        {
            TensorInfo stored = original.Get(tensor.Name);
            if (tensor.Format == stored.Format)
            {
                writer.Tensors.Copy(original, stored);
                continue;
            }
            Weight weight = original.Load(stored);
            Format learned = tensor.Format!.Learn(weight, new LearnOptions());
            writer.Tensors.Write(learned.Shared.Span);
            float[] row = new float[weight.Columns], all = new float[weight.Rows * weight.Columns];
            var bytes = new byte[learned.RowBytes(weight.Columns)];
            for (int r = 0; r < weight.Rows; r++)
            {
                weight.ReadRow(r, row);
                learned.Encode(row, default, bytes);
                learned.Decode(bytes, all.AsSpan(r * row.Length, row.Length));
                writer.Tensors.Write(bytes);
            }
            decoded[tensor.Name] = all;
        }
        Assert.Null(writer.Tensors.Current);
        writer.Commit();
        return decoded;
    }

    [Fact]
    public void A_model_in_many_formats_comes_back_with_the_same_floats()
    {
        Dictionary<string, float[]> written = WriteModel();
        using TensorFile file = TensorFile.Open(Packed);
        Assert.IsType<PackedFolder>(file);
        using var original = new SafetensorsFolder(EmbeddedModel.Folder);
        Assert.Equal(original.Tensors.Select(t => t.Name).Order(), file.Tensors.Select(t => t.Name).Order());
        foreach ((string name, float[] expected) in written)
        {
            TensorInfo tensor = file.Get(name);
            Weight weight = file.Load(tensor);
            var read = new float[weight.Columns];
            for (int r = 0; r < weight.Rows; r++)
            {
                weight.ReadRow(r, read);
                Assert.Equal<float>(expected.AsSpan(r * read.Length, read.Length), read.AsSpan());
            }
            Assert.Equal(original.Get(name).Shape, tensor.Shape);
        }
    }

    [Fact]
    public void A_model_opens_as_any_other()
    {
        WriteModel();
        using ModelSource source = ModelSource.Open(Packed);
        using ModelSource original = ModelSource.Open(EmbeddedModel.Folder);
        Assert.Equal(original.Tensors.Keys.Order(), source.Tensors.Keys.Order());
        Assert.Contains(source.Tensors.Values, t => t.Format.Family == FormatFamily.Vector);
        Assert.True(File.Exists(Path.Combine(Packed, "tokenizer.json")));
    }

    public static TheoryData<string, string, string> Lies => new()
    {
        { "version", "9", "version" },
        { "version", "\"1\"", "version" },
        { "tensors", "[]", "tensors" },
        { "format", "\"Linear99\"", "Linear99" },
        { "format", "7", "format" },
        { "format", "\"Linear8\"", "bytes" },
        { "format", "\"Linear4-tensor\"", ".table" },
        { "format", "\"Vector8x65536x8-pq64-books256\"", ".table" },
        { "format", "\"Linear4-g1048576\"", "1048576" },
        { "format", "\"Linear4-g3\"", "blocks of 3" },
        { "shape", "[]", "shape" },
        { "shape", "[-1, 64]", "shape" },
        { "shape", "[1e3, 64]", "shape" },
        { "shape", "[2147483647, 2147483647, 2147483647]", "shape" },
        { "shape", "[2147483647, 2147483616]", "bytes" },
        { "shape", "[3, 33]", "33" },
    };

    [Theory, MemberData(nameof(Lies))]
    public void A_configuration_that_lies_is_refused_with_the_place(string key, string value, string inMessage)
    {
        WriteSmall("Linear4-g32");
        string config = Path.Combine(Packed, "config.json");
        JsonNode json = JsonNode.Parse(File.ReadAllText(config))!;
        JsonNode section = json["quantization_config"]!;
        JsonNode place = key is "version" or "tensors" ? section : section["tensors"]!["a.weight"]!;
        place[key] = JsonNode.Parse(value);
        File.WriteAllText(config, json.ToJsonString());
        string message = Assert.Throws<UnusableInputException>(() => TensorFile.Open(Packed).Dispose()).Message;
        Assert.Contains(inMessage, message);
        Assert.StartsWith(Packed, message);
        Assert.DoesNotContain('\n', message);
    }

    [Fact]
    public void A_table_of_another_length_is_refused()
    {
        WriteSmall("Linear4-tensor");
        string config = Path.Combine(Packed, "config.json");
        File.WriteAllText(config, File.ReadAllText(config).Replace("Linear4-tensor", "Linear4-tensor-f32", StringComparison.Ordinal));
        Assert.Contains("a.weight.table", Assert.Throws<UnusableInputException>(() => TensorFile.Open(Packed).Dispose()).Message);
    }

    [Fact]
    public void A_folder_of_another_method_is_not_taken_for_ours()
    {
        string folder = _folder.PathOf("other");
        Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "config.json"), """{ "quantization_config": { "quant_method": "gptq" } }""");
        TensorInfo[] tensors = [TensorInfo.Of("a", FloatFormat.F32, [2])];
        using (var writer = new SafetensorsWriter(Path.Combine(folder, "model.safetensors"), tensors))
        {
            writer.Write(new byte[8]);
            writer.Commit();
        }
        using TensorFile file = TensorFile.Open(folder);
        Assert.IsType<ForeignCheckpoint>(file);
    }

    /// <summary>One matrix of 4 by 64.</summary>
    private void WriteSmall(string format)
    {
        string original = _folder.PathOf("original");
        Directory.CreateDirectory(original);
        File.WriteAllBytes(Path.Combine(original, "config.json"), Encoding.UTF8.GetBytes("""{ "model_type": "llama" }"""));
        float[] weights = Nibble.Tests.Formats.Rows.Gaussian(4 * 64, seed: 1);
        Format learned = Nibble.Tests.Formats.TestMatrix.Learned(format, weights, 4);
        using var writer = new PackedWriter(Packed, original, [TensorInfo.Of("a.weight", learned, [4, 64])]);
        writer.Tensors.Write(learned.Shared.Span);
        for (int r = 0; r < 4; r++) writer.Tensors.Write(Nibble.Tests.Formats.TestMatrix.Encode(learned, weights[(64 * r)..(64 * r + 64)]));
        writer.Commit();
    }
}
