using System.Runtime.InteropServices;
using Nibble.Core;
using Nibble.Core.Formats;

namespace Nibble.Tests.Formats;

public class VectorFormatTests
{
    public static TheoryData<string> Names => new(
        "Vector2x16", "Vector4x16", "Vector8x16", "Vector4x256", "Vector8x256", "Vector4x512", "Vector2x4096", "Vector8x256x2", "Vector4x64x3",
        "Vector4x256x2", "Vector2x256x3", "Vector8x16x2-add", "Vector4x256-pq2", "Vector2x16-pq3", "Vector4x64-books3", "Vector4x256-row",
        "Vector4x256-g64-f32", "Vector8x32-books2-row-bf16", "Vector4x16x2-add-pq2-g32", "Vector8-E8", "Vector8-E8-row", "Vector8-E8-tensor",
        "Vector8-E8-g32-bf16", "Vector8-E8-g16-p2");

    [Theory, MemberData(nameof(Names))]
    public void Names_are_read_back(string name) => Assert.Equal(name, Format.Parse(name.ToUpperInvariant()).Name);

    [Theory]
    [InlineData("Vector3x256")]
    [InlineData("Vector4x100")]
    [InlineData("Vector4x131072")]
    [InlineData("Vector4x256-add")]
    [InlineData("Vector4x256-g6")]
    [InlineData("Vector4x256-s8")]
    [InlineData("Vector4x256-books2-g64")]
    [InlineData("Vector8-E8-g20")]
    [InlineData("Vector8-E9")]
    public void A_name_that_means_nothing_is_refused_in_one_line(string name) =>
        Assert.DoesNotContain('\n', Assert.Throws<UnusableInputException>(() => Format.Parse(name)).Message);

    [Theory, MemberData(nameof(Names))]
    public void Fit_and_put_give_what_encode_and_decode_give(string name)
    {
        const int Columns = 384;
        float[] weights = Rows.Gaussian(12 * Columns, seed: 2);
        Format format = TestMatrix.Learned(name, weights, rows: 12);
        float[] row = weights[Columns..(2 * Columns)], rounded = new float[Columns];
        byte[] encoded = TestMatrix.Encode(format, row), put = new byte[encoded.Length];
        for (int b = 0; b < Columns / format.BlockSize; b++)
        {
            Span<byte> block = put.AsSpan(b * format.BlockBytes, format.BlockBytes);
            format.Fit(row.AsSpan(b * format.BlockSize, format.BlockSize), default, block);
            for (int i = format.BlockSize - format.Stride; i >= 0; i -= format.Stride)
                format.Put(block, i, row.AsSpan(b * format.BlockSize + i, format.Stride), rounded.AsSpan(b * format.BlockSize + i, format.Stride));
        }
        Assert.Equal(encoded, put);
        Assert.Equal(TestMatrix.Decode(format, encoded, Columns), rounded);
    }

    [Theory, MemberData(nameof(Names))]
    public void The_stored_table_gives_the_same_weights(string name)
    {
        const int Columns = 192;
        float[] weights = Rows.Gaussian(8 * Columns, seed: 3);
        Format learned = TestMatrix.Learned(name, weights, rows: 8);
        Format stored = Format.Parse(name).ForColumns(Columns).WithShared(learned.Shared.ToArray());
        byte[] encoded = TestMatrix.Encode(learned, weights[..Columns]);
        Assert.Equal(TestMatrix.Decode(learned, encoded, Columns), TestMatrix.Decode(stored, encoded, Columns));
        Assert.Equal(learned.SharedBytes, learned.Shared.Length);
        Assert.Throws<UnusableInputException>(() => stored.WithShared(new byte[learned.SharedBytes + 1]));
    }

    [Fact]
    public void A_codebook_and_codes_give_these_weights()
    {
        // An F32 scale of 1/2, then sixteen entries of two halves: entry k is (k, -k).
        var table = new byte[4 + 64];
        MemoryMarshal.Write(table, 0.5f);
        for (int k = 0; k < 16; k++)
        {
            MemoryMarshal.Write(table.AsSpan(4 + 4 * k), (Half)k);
            MemoryMarshal.Write(table.AsSpan(6 + 4 * k), (Half)(-k));
        }
        Format format = Format.Parse("Vector2x16").WithShared(table);
        // Codes 2 15 0 5, four bits each.
        Assert.Equal([1, -1, 7.5f, -7.5f, 0, 0, 2.5f, -2.5f], TestMatrix.Decode(format, [0xF2, 0x50], 8));
        Assert.Equal([0xF2, 0x50], TestMatrix.Encode(format, [1.1f, -0.9f, 9, -8, 0, 0.2f, 2.5f, -2.4f]));
    }

    [Theory]
    [InlineData("Vector4x64")]
    [InlineData("Vector8x32x2-add")]
    [InlineData("Vector2x16-pq2")]
    public void The_same_seed_gives_the_same_codebook_on_any_number_of_threads(string name)
    {
        float[] weights = Rows.Gaussian(64 * 256, seed: 4);
        float[] importance = [.. Rows.Gaussian(256, seed: 5).Select(Math.Abs)];
        byte[] Learn(ulong seed, int threads) => Format.Parse(name).ForColumns(256).Learn(
            new TestMatrix(weights, 64), new LearnOptions { Seed = seed, Threads = threads, Importance = importance }).Shared.ToArray();
        byte[] one = Learn(7, 1);
        Assert.Equal(one, Learn(7, 2));
        Assert.Equal(one, Learn(7, 5));
        Assert.NotEqual(one, Learn(8, 1));
    }

    [Theory]
    [InlineData(2, 16)]
    [InlineData(4, 100)]
    [InlineData(8, 300)]
    public void The_nearest_entry_is_the_nearest_by_plain_arithmetic(int dimension, int entries)
    {
        var codebook = new Codebook(dimension, Rows.Gaussian(dimension * entries, seed: 6));
        float[] points = Rows.Gaussian(dimension * 200, seed: 7), weight = [.. Rows.Gaussian(dimension, seed: 8).Select(w => w * w)];
        for (int i = 0; i < points.Length; i += dimension)
        {
            float[] x = points[i..(i + dimension)];
            Assert.Equal(Best(k => Distance(x, codebook[k], null), entries), codebook.Nearest(x));
            Assert.Equal(Best(k => Distance(x, codebook[k], weight), entries), codebook.Nearest(x, weight));
        }
    }

    [Fact]
    public void Lloyds_iterations_find_clusters_that_are_there()
    {
        // Sixteen tight clusters, far from each other: every entry must be the middle of one.
        float[] noise = Rows.Gaussian(16 * 50 * 2, seed: 9);
        float[] vectors = [.. Enumerable.Range(0, noise.Length).Select(i => 100 * (i % 2 == 0 ? i / 100 % 4 : i / 400) + 0.01f * noise[i])];
        (float[] points, int[] nearest) = new KMeans(2, vectors, [], new LearnOptions { Seed = 1 }).Train(16, null);
        for (int cluster = 0; cluster < 16; cluster++)
        {
            int[] members = [.. Enumerable.Range(50 * cluster, 50)];
            Assert.Single(members.Select(v => nearest[v]).Distinct());
            int k = nearest[members[0]];
            Assert.Equal(members.Average(v => vectors[2 * v]), points[2 * k], 1e-4f);
            Assert.Equal(members.Average(v => vectors[2 * v + 1]), points[2 * k + 1], 1e-4f);
        }
    }

    [Fact]
    public void Weights_that_do_not_matter_do_not_pull_entries()
    {
        float[] vectors = Rows.Gaussian(4000, seed: 10), weights = new float[4000];
        Array.Fill(weights, 1, 0, 2000);
        double ErrorOfThoseThatMatter(float[] used)
        {
            var codebook = new Codebook(4, new KMeans(4, vectors, used, new LearnOptions()).Train(64, null).Points);
            return Enumerable.Range(0, 500).Sum(v => Distance(vectors[(4 * v)..(4 * v + 4)], codebook[codebook.Nearest(vectors.AsSpan(4 * v, 4))], null));
        }
        Assert.True(ErrorOfThoseThatMatter(weights) < 0.9 * ErrorOfThoseThatMatter([]));
    }

    [Fact]
    public void Additive_codes_lose_less_than_residual_ones()
    {
        float[] weights = Rows.Gaussian(64 * 512, seed: 11);
        double Error(string name)
        {
            Format format = TestMatrix.Learned(name, weights, 64);
            return Enumerable.Range(0, 64).Sum(r => Rows.RelativeError(weights.AsSpan(512 * r, 512), TestMatrix.RoundTrip(format, weights[(512 * r)..(512 * r + 512)])));
        }
        Assert.True(Error("Vector8x32x2-add") < 0.97 * Error("Vector8x32x2"));
    }

    [Fact]
    public void A_row_names_the_book_that_serves_it_best()
    {
        // The first half of the rows is ten times as large as the second.
        float[] weights = Rows.Gaussian(32 * 256, seed: 12);
        for (int i = 0; i < weights.Length / 2; i++) weights[i] *= 10;
        Format format = TestMatrix.Learned("Vector4x64-books2", weights, 32);
        for (int r = 0; r < 32; r++)
            Assert.Equal(r < 16 ? 0 : 1, TestMatrix.Encode(format, weights[(256 * r)..(256 * r + 256)])[0]);
    }

    private static int Best(Func<int, double> distance, int entries) => Enumerable.Range(0, entries).MinBy(distance);

    private static double Distance(float[] x, ReadOnlySpan<float> c, float[]? weight)
    {
        double sum = 0;
        for (int j = 0; j < x.Length; j++) sum += Math.Pow((double)x[j] - c[j], 2) * (weight?[j] ?? 1);
        return sum;
    }
}
