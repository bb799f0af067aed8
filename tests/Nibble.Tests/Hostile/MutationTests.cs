using System.Text;
using CsCheck;
using Nibble.Tests.Files;

namespace Nibble.Tests.Hostile;

/// <summary>Valid files, damaged at random: whatever comes of it is read or refused, and never anything else.</summary>
public sealed class MutationTests : IDisposable
{
    private static readonly byte[] Safetensors = SafetensorsBytes();

    private readonly TemporaryFolder _folder = new();
    private int _files;

    public void Dispose() => _folder.Dispose();

    private static byte[] SafetensorsBytes()
    {
        byte[] header = Encoding.UTF8.GetBytes(
            """{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"é":{"dtype":"BF16","shape":[1,4],"data_offsets":[16,24]},"c":{"dtype":"I64","shape":[],"data_offsets":[24,32]}} """);
        return [.. BitConverter.GetBytes((long)header.Length), .. header, .. new byte[32]];
    }

    /// <summary>One way to damage a file.</summary>
    private static Gen<Func<byte[], byte[]>> Damage { get; } = Gen.OneOf(
        Gen.Select(Gen.UInt, Gen.Byte, (at, value) => (Func<byte[], byte[]>)(f => Overwrite(f, at, [value]))),
        Gen.Select(Gen.UInt, Gen.OneOf(0UL, 1UL, 31UL, 1UL << 31, 1UL << 32, 1UL << 62, 1UL << 63, ulong.MaxValue),
            (at, value) => (Func<byte[], byte[]>)(f => Overwrite(f, at, BitConverter.GetBytes(value)))),
        Gen.Select(Gen.UInt, Gen.UInt[0, 13], (at, value) => (Func<byte[], byte[]>)(f => Overwrite(f, at, BitConverter.GetBytes(value)))),
        Gen.Select(Gen.UInt, Gen.OneOf("\"", "{", "}", "[", "]", ",", "-", "9", "0", "\\", "U8"),
            (at, text) => (Func<byte[], byte[]>)(f => Overwrite(f, at, Encoding.UTF8.GetBytes(text)))),
        Gen.Select(Gen.UInt, Gen.UInt[1, 40], (at, count) => (Func<byte[], byte[]>)(f => Cut(f, at, count))),
        Gen.Select(Gen.UInt, Gen.UInt[1, 40], (at, count) => (Func<byte[], byte[]>)(f => Repeat(f, at, count))));

    private static byte[] Overwrite(byte[] file, uint at, byte[] with)
    {
        var damaged = (byte[])file.Clone();
        int start = (int)(at % (uint)file.Length);
        with.AsSpan(0, Math.Min(with.Length, file.Length - start)).CopyTo(damaged.AsSpan(start));
        return damaged;
    }

    private static byte[] Cut(byte[] file, uint at, uint count)
    {
        int start = (int)(at % (uint)file.Length), end = Math.Min(start + (int)count, file.Length);
        return file.Length - (end - start) < 1 ? file : [.. file[..start], .. file[end..]];
    }

    private static byte[] Repeat(byte[] file, uint at, uint count)
    {
        int start = (int)(at % (uint)file.Length), end = Math.Min(start + (int)count, file.Length);
        return [.. file[..end], .. file[start..]];
    }

    private void Check(byte[] valid, string extension) =>
        Damage.Array[1, 4].Sample(damages =>
        {
            byte[] file = damages.Aggregate(valid, (f, damage) => damage(f));
            string path = _folder.Write($"{Interlocked.Increment(ref _files)}{extension}", file);
            Attack.Survives(path);
            File.Delete(path);
        }, iter: 1500);

    [Fact]
    public void A_damaged_safetensors_file_is_read_or_refused() => Check(Safetensors, ".safetensors");

    [Fact]
    public void A_damaged_gguf_file_is_read_or_refused() => Check(GgufBytes.Valid(), ".gguf");
}
