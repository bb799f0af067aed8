using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Files;
using Nibble.Tests.Files;
using Nibble.Tests.Formats;

namespace Nibble.Tests.Memory;

/// <summary>
/// Weights of a file are packed from copies of a few rows at a time, and where nothing is packed the first product reads such copies;
/// those in memory are read where they lie.
/// </summary>
public sealed unsafe class MappedWeightTests : IDisposable
{
    /// <summary>Rows of which the others are copies: not a multiple of any tile's.</summary>
    private const int Different = 37;

    private readonly TemporaryFolder _folder = new();
    private readonly WorkerPool _pool = new(2);

    public void Dispose()
    {
        _pool.Dispose();
        _folder.Dispose();
    }

    public static TheoryData<string> Formats => [.. Format.All.Select(f => f.Name)];

    /// <summary>More than one stretch for each worker, a last tile that is not full, and nothing left of the mapping but what the weight holds.</summary>
    [Theory]
    [MemberData(nameof(Formats))]
    public void Products_are_those_of_a_weight_in_memory(string name)
    {
        const int columns = 1024;
        Weight inMemory = Random(name, columns);
        foreach (InputRounding? rounding in (InputRounding?[])[null, InputRounding.BFloat16])
            foreach (int tokens in (int[])[1, 3, 19])
            {
                Weight mapped = Map(inMemory, out MappedFile file);
                file.Dispose();
                using var x = new Activation();
                x.Resize(tokens, columns);
                var random = new Random(tokens);
                for (int t = 0; t < tokens; t++)
                    foreach (ref float v in x.Row(t)) v = (float)(random.NextDouble() - 0.5);
                float[] expected = Multiply(inMemory, x, rounding);
                for (int turn = 0; turn < 2; turn++) Assert.Equal(expected, Multiply(mapped, x, rounding));
            }
    }

    [Theory]
    [InlineData("Q4_0")]
    [InlineData("NF4")]
    [InlineData("Log8")]
    [InlineData("Vector4x256")]
    [InlineData("F32")]
    [InlineData("Trellis3")]
    public void A_file_that_shrank_is_refused_and_does_not_kill_the_process(string name)
    {
        Weight mapped = Map(Random(name, 1024), out MappedFile file);
        using (file)
        {
            using (var other = new FileStream(file.Path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite)) other.SetLength(file.Length / 2);
            using var x = new Activation();
            x.Resize(1, 1024);
            Exception e = Assert.ThrowsAny<Exception>(() => Multiply(mapped, x, null));
            string message = Assert.IsType<UnusableInputException>(e.InnerException ?? e).Message;
            Assert.Contains($"shrank from {file.Length} to {file.Length / 2} bytes", message, StringComparison.Ordinal);
            Assert.Contains(file.Path, message, StringComparison.Ordinal);
        }
    }

    /// <summary>The rows of a tile at a time; the last is not full.</summary>
    [Fact]
    public void Floats_are_packed_from_copies()
    {
        Weight inMemory = Random("BF16", 1024);
        Weight mapped = Map(inMemory, out MappedFile file);
        file.Dispose();
        FloatTiles expected = FloatTiles.Pack(inMemory, _pool)!, packed = FloatTiles.Pack(mapped, _pool)!;
        Assert.Equal(expected.Outliers, packed.Outliers);
        Assert.Equal(Bytes(expected), Bytes(packed));

        static byte[] Bytes(FloatTiles tiles) => new ReadOnlySpan<byte>(tiles.Tile(0), (int)tiles.Bytes).ToArray();
    }

    /// <summary>Small ones where they are mapped, large ones from the file.</summary>
    [Theory]
    [InlineData("Q6_K", 512)]
    [InlineData("Q6_K", 48_000)]
    public void Rows_are_looked_up(string name, int rows)
    {
        const int columns = 512;
        Format format = Format.Parse(name);
        Weight inMemory = Weight.Allocate("w", format, rows, columns);
        new Random(rows).NextBytes(new Span<byte>(inMemory.Data, (int)inMemory.Bytes));
        Weight mapped = Map(inMemory, out MappedFile file);
        file.Dispose();
        float[] expected = new float[columns], found = new float[columns];
        foreach (int row in (int[])[0, 77, rows - 1])
        {
            inMemory.ReadRow(row, expected);
            mapped.LookUp(row, found);
            Assert.Equal(expected, found);
        }
        Assert.Throws<ArgumentOutOfRangeException>(() => mapped.LookUp(rows, found));
    }

    private float[] Multiply(Weight weight, Activation x, InputRounding? rounding)
    {
        var y = new float[x.Tokens * weight.Rows];
        fixed (float* at = y) MatrixProduct.Multiply(weight, x, at, _pool, rounding);
        return y;
    }

    /// <summary>A file of the weight's bytes behind some others, as a weight.</summary>
    private Weight Map(Weight weight, out MappedFile file)
    {
        const int before = 96;
        var bytes = new byte[before + weight.Bytes];
        new ReadOnlySpan<byte>(weight.Data, (int)weight.Bytes).CopyTo(bytes.AsSpan(before));
        file = new MappedFile(_folder.Write("weights", bytes));
        return new Weight("w", weight.Format, weight.Rows, weight.Columns, file.Pointer + before, file.Share());
    }

    /// <summary>About 1.2 MB of rows, which are four stretches and a part of one.</summary>
    private static Weight Random(string name, int columns)
    {
        var random = new Random(columns);
        var weights = new float[Different * columns];
        for (int i = 0; i < weights.Length; i++) weights[i] = (float)(random.NextDouble() - 0.5) * (1 + i / columns % 3);
        Format format = TestMatrix.Learned(name, weights, Different);
        Weight weight = Weight.Allocate("w", format, (int)(1_200_000 / format.RowBytes(columns)) | 1, columns);
        for (int r = 0; r < weight.Rows; r++)
            if (r < Different) format.Encode(weights.AsSpan(r * columns, columns), default, weight.Row(r));
            else weight.Row(r - Different).CopyTo(weight.Row(r));
        return weight;
    }
}
