using System.Numerics.Tensors;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Files.Safetensors;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Tests.Decoder;
using Nibble.Tests.Files;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Packed;

/// <summary>
/// A golden checkpoint whose matrices a test packs by hand, as the published layouts have them; and beside it the
/// checkpoint in floats that it must equal.
/// </summary>
internal sealed class PackedCheckpoint : IDisposable
{
    private readonly string _golden;
    private readonly TemporaryFolder _packed = new(), _plain = new();
    private readonly Dictionary<string, (TensorInfo Info, byte[] Bytes)> _tensors = [];
    private readonly Dictionary<string, (TensorInfo Info, byte[] Bytes)> _floats = [];

    public unsafe PackedCheckpoint(string golden)
    {
        _golden = GoldenCheckpoint.Folder(golden);
        using TensorFile file = TensorFile.Open(_golden);
        foreach (TensorInfo tensor in file.Tensors)
            _tensors[tensor.Name] = (tensor, new ReadOnlySpan<byte>(file.Data(tensor), (int)tensor.Bytes).ToArray());
        _floats = new(_tensors);
    }

    public string Path => _packed.Path;

    /// <summary>The names of the linear layers' weights, without <c>.weight</c>.</summary>
    public string[] Modules => [.. _floats.Where(t => t.Value.Info.Shape.Count == 2 && t.Key.EndsWith("_proj.weight", StringComparison.Ordinal)).Select(t => t.Key[..^7])];

    /// <summary>The numbers of a float tensor, and its shape.</summary>
    public (float[] Numbers, long[] Shape) Floats(string name) =>
        (MemoryMarshal.Cast<byte, float>(_floats[name].Bytes).ToArray(), [.. _floats[name].Info.Shape]);

    /// <summary>Takes a tensor out of the packed checkpoint.</summary>
    public void Remove(string name) => _tensors.Remove(name);

    /// <summary>Puts a tensor of integers, or of floats by their bits, into the packed checkpoint.</summary>
    public void Put<T>(string name, string type, long[] shape, T[] numbers) where T : struct
    {
        byte[] bytes = MemoryMarshal.AsBytes(numbers.AsSpan()).ToArray();
        _tensors[name] = (new TensorInfo(name, type, null, shape, bytes.Length), bytes);
    }

    /// <summary>Says what a tensor is in floats.</summary>
    public void PutFloats(string name, float[] numbers) =>
        _floats[name] = (_floats[name].Info, MemoryMarshal.AsBytes(numbers.AsSpan()).ToArray());

    /// <summary>Writes both checkpoints.</summary>
    /// <param name="quantization">The value of quantization_config.</param>
    public void Write(string quantization)
    {
        Write(_packed, _tensors.Values, JsonNode.Parse(quantization));
        Write(_plain, _floats.Values, null);
    }

    private void Write(TemporaryFolder folder, IEnumerable<(TensorInfo Info, byte[] Bytes)> tensors, JsonNode? quantization)
    {
        JsonObject config = JsonNode.Parse(File.ReadAllText(System.IO.Path.Combine(_golden, "config.json")))!.AsObject();
        if (quantization is not null) config["quantization_config"] = quantization;
        File.WriteAllText(folder.PathOf("config.json"), config.ToJsonString());
        using var writer = new SafetensorsWriter(folder.PathOf("model.safetensors"), [.. tensors.Select(t => t.Info)]);
        foreach ((_, byte[] bytes) in tensors) writer.Write(bytes);
        writer.Commit();
    }

    /// <summary>
    /// Every linear layer holds exactly the numbers of the float checkpoint, and the models compute the same: in float32, and
    /// nearly so in integers.
    /// </summary>
    /// <param name="tolerance">Of the logits of a position, relative to their norm: integer kernels round their inputs to 8 bits.</param>
    /// <returns>The formats of the linear layers.</returns>
    public string[] AssertEqual(double tolerance = 0.02)
    {
        using ModelSource packed = ModelSource.Open(Path), plain = ModelSource.Open(_plain.Path);
        using var pool = new WorkerPool(1);
        using var packedModel = new DecoderModel(packed, pool);
        using var exactModel = new DecoderModel(packed, pool, new DecoderOptions { InputRounding = InputRounding.None });
        using var plainModel = new DecoderModel(plain, pool);
        foreach ((Linear a, Linear b) in packedModel.Linears.Zip(plainModel.Linears))
        {
            Assert.Equal(b.Name, a.Name);
            AssertSame(b.Weight, a.Weight, 0);
        }
        var golden = GoldenArchitecture.Read(_golden);
        float[] expected = GoldenArchitectureTests.AllLogits(plainModel, golden.InputIds), actual = GoldenArchitectureTests.AllLogits(packedModel, golden.InputIds);
        GoldenArchitectureTests.AssertClose(expected, GoldenArchitectureTests.AllLogits(exactModel, golden.InputIds), Path);
        // A router near a tie may choose another expert for a token: most positions must agree, not all.
        double[] errors = [.. expected.Chunk(plainModel.Config.Vocabulary).Zip(actual.Chunk(plainModel.Config.Vocabulary),
            (e, a) => (double)TensorPrimitives.Distance<float>(e, a) / TensorPrimitives.Norm<float>(e)).Order()];
        Assert.InRange(errors[errors.Length / 2], 0, tolerance);
        return [.. packedModel.Linears.Select(l => l.Weight.Format.Name).Distinct()];
    }

    /// <summary>Two weights hold the same numbers.</summary>
    public static void AssertSame(Weight expected, Weight actual, float tolerance)
    {
        Assert.Equal((expected.Rows, expected.Columns), (actual.Rows, actual.Columns));
        float[] a = new float[expected.Columns], b = new float[expected.Columns];
        for (int r = 0; r < expected.Rows; r++)
        {
            expected.ReadRow(r, a);
            actual.ReadRow(r, b);
            for (int i = 0; i < a.Length; i++)
                Assert.True(Math.Abs(a[i] - b[i]) <= tolerance * Math.Abs(a[i]), $"{actual.Name} [{r}, {i}]: expected {a[i]}, got {b[i]}");
        }
    }

    public void Dispose()
    {
        _packed.Dispose();
        _plain.Dispose();
    }
}
