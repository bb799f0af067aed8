using CsCheck;
using Nibble.Core.Formats;
using Nibble.Files;
using Nibble.Files.Gguf;
using Nibble.Files.Safetensors;

namespace Nibble.Tests.Files;

/// <summary>Random models, written, read, and written again: every value comes back, and the bytes do not change.</summary>
public sealed unsafe class RoundTripTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private int _files;

    public void Dispose() => _folder.Dispose();

    private static Gen<object> Boxed<T>(Gen<T> gen) => gen.Select(value => (object)value!);

    private static Gen<object> Scalar { get; } = Gen.OneOf<object>(
        Boxed(Gen.Byte), Boxed(Gen.SByte), Boxed(Gen.UShort), Boxed(Gen.Short), Boxed(Gen.UInt), Boxed(Gen.Int),
        Boxed(Gen.Float), Boxed(Gen.Bool), Boxed(Gen.String), Boxed(Gen.ULong), Boxed(Gen.Long), Boxed(Gen.Double));

    private static Gen<object> Array { get; } = Gen.OneOf<object>(
        Boxed(Gen.Byte.Array), Boxed(Gen.Int.Array), Boxed(Gen.UInt.Array), Boxed(Gen.Float.Array), Boxed(Gen.Bool.Array),
        Boxed(Gen.String.Array), Boxed(Gen.Short.Array.Array.Select(arrays => arrays.Cast<Array>().ToArray())));

    private static Gen<TensorInfo[]> Tensors { get; } =
        Gen.Select(Gen.OneOf("F32", "F16", "BF16", "Q8_0"), Gen.Long[0, 3].Array[0, 3], (format, shape) =>
            TensorInfo.Of("", Format.Parse(format), [.. shape, 32])).Array[0, 6]
        .Select(tensors => tensors.Select((t, i) => t with { Name = $"blk.{i}.weight" }).ToArray());

    [Fact]
    public void A_random_gguf_file_comes_back()
    {
        Gen.Select(Gen.OneOf(Scalar, Array).Array[0, 8], Gen.OneOf(1u, 8u, 32u, 512u), Tensors).Sample((values, alignment, tensors) =>
        {
            string path = _folder.PathOf($"{Interlocked.Increment(ref _files)}.gguf");
            var metadata = new GgufMetadata(path);
            metadata.Set("general.alignment", alignment);
            for (int i = 0; i < values.Length; i++) metadata.Set($"key.{i}", values[i]);
            using (var writer = new GgufWriter(path, metadata, tensors)) Fill(writer);
            using var file = new GgufFile(path);
            Assert.Equal(metadata, file.Metadata);
            CheckAndWriteAgain(file, tensors, path, p => new GgufWriter(p, file.Metadata, file.Tensors));
        }, iter: 300);
    }

    [Fact]
    public void A_random_safetensors_file_comes_back()
    {
        Gen.Select(Gen.Dictionary(Gen.String, Gen.String)[0, 4], Tensors).Sample((metadata, tensors) =>
        {
            tensors = [.. tensors.Where(t => t.Type != "Q8_0")];
            string path = _folder.PathOf($"{Interlocked.Increment(ref _files)}.safetensors");
            using (var writer = new SafetensorsWriter(path, tensors, metadata)) Fill(writer);
            using var file = new SafetensorsFile(path);
            Assert.Equal(metadata, file.Metadata);
            CheckAndWriteAgain(file, tensors, path, p => new SafetensorsWriter(p, file.Tensors, file.Metadata));
        }, iter: 300);
    }

    private static void Fill(TensorWriter writer)
    {
        while (writer.Current is { } tensor)
        {
            byte[] bytes = Content(tensor);
            // In two pieces, the second often empty.
            writer.Write(bytes.AsSpan(0, bytes.Length / 3 * 2));
            writer.Write(bytes.AsSpan(bytes.Length / 3 * 2));
        }
        writer.Commit();
    }

    private static byte[] Content(TensorInfo tensor)
    {
        var bytes = new byte[tensor.Bytes];
        new Random(tensor.Name.Length + tensor.Name[4]).NextBytes(bytes);
        return bytes;
    }

    private static void CheckAndWriteAgain(MappedTensors file, TensorInfo[] tensors, string path, Func<string, TensorWriter> write)
    {
        Assert.Equal(tensors.Select(t => (t.Name, t.Type, t.Bytes, t.Format)), file.Tensors.Select(t => (t.Name, t.Type, t.Bytes, t.Format)));
        foreach (TensorInfo tensor in file.Tensors)
            Assert.True(new ReadOnlySpan<byte>(file.Data(tensor), (int)tensor.Bytes).SequenceEqual(Content(tensor)));
        using (TensorWriter writer = write(path + ".again"))
        {
            foreach (TensorInfo tensor in file.Tensors) writer.Copy(file, tensor);
            writer.Commit();
        }
        Assert.Equal(File.ReadAllBytes(path), File.ReadAllBytes(path + ".again"));
    }
}
