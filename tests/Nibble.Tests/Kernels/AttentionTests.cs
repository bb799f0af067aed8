using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Tests.Kernels;

/// <summary>Attention against its definition, in double precision.</summary>
public unsafe class AttentionTests
{
    public sealed record Case(int Heads, int KeyHeads, int KeySize, int ValueSize, int Tokens, int Stored, int Window = 0, bool Causal = true,
        float SoftCap = 0, bool Sinks = false, int Workers = 1, bool ValuesInKeys = false, string Format = "F32", double Tolerance = 2e-6, int Rotation = 0, bool MayRound = false);

    /// <summary>What rounding to bfloat16 may cost: a 256th of weights that add up to 1, times values up to 4, and of the scores.</summary>
    private const double Rounding = 1e-2;

    public static TheoryData<Case> Cases =>
    [
        new Case(1, 1, 8, 8, 1, 0),
        new Case(4, 2, 16, 16, 40, 0),
        new Case(5, 5, 7, 7, 13, 3),
        new Case(3, 1, 20, 20, 70, 65),
        new Case(12, 4, 64, 64, 130, 200, Workers: 3),
        new Case(32, 1, 128, 128, 1, 500, Workers: 2),
        new Case(20, 1, 64, 64, 33, 70),
        new Case(3000, 1, 16, 16, 2, 5, Workers: 2),
        new Case(17, 1, 4096, 4096, 2, 70),
        new Case(4, 2, 16, 16, 40, 50, Window: 8),
        new Case(4, 2, 16, 16, 1, 300, Window: 64),
        new Case(4, 2, 16, 16, 90, 130, Window: 1),
        new Case(4, 4, 32, 32, 100, 0, Causal: false),
        new Case(4, 4, 32, 32, 100, 0, Window: 9, Causal: false),
        new Case(4, 2, 24, 24, 40, 80, SoftCap: 5),
        new Case(4, 2, 24, 24, 40, 80, Window: 16, Sinks: true),
        new Case(6, 1, 40, 24, 30, 90, ValuesInKeys: true),
        new Case(4, 2, 64, 64, 40, 80, Format: "F16"),
        new Case(4, 2, 64, 64, 40, 80, Window: 20, Format: "Q8_0"),
        new Case(4, 1, 64, 64, 1, 300, Format: "F16", Workers: 2),
        new Case(7, 1, 80, 80, 1, 130, Format: "F16"),
        new Case(6, 2, 48, 48, 2, 100, Format: "F16"),
        new Case(5, 5, 16, 16, 1, 63, Format: "F16"),
        new Case(8, 1, 20, 20, 1, 90, Format: "F16"),
        new Case(4, 2, 32, 32, 1, 300, Window: 70, Format: "F16"),
        new Case(4, 2, 64, 64, 3, 80, Window: 16, Sinks: true, SoftCap: 5, Format: "F16"),
        new Case(4, 2, 64, 64, 3, 80, Window: 16, Sinks: true, SoftCap: 5),
        new Case(6, 1, 48, 32, 1, 90, ValuesInKeys: true, Format: "F16"),
        new Case(6, 1, 48, 32, 1, 90, ValuesInKeys: true),
        new Case(3, 1, 64, 64, 1, 80, Format: "F16", Tolerance: 2e-3, Rotation: 64),
        new Case(3, 1, 64, 64, 1, 80, Rotation: 64),
        new Case(6, 2, 64, 64, 40, 80, Rotation: 64, Workers: 2),
        new Case(4, 2, 24, 24, 40, 80, Window: 16, Rotation: 8),
        new Case(6, 1, 40, 24, 30, 90, ValuesInKeys: true, Rotation: 8),
        new Case(4, 2, 64, 64, 40, 80, Window: 20, Format: "Q8_0", Tolerance: 2e-2, Rotation: 64),
        new Case(4, 2, 64, 64, 40, 80, Format: "F16", MayRound: true, Tolerance: Rounding),
        new Case(5, 1, 96, 48, 33, 70, Format: "F16", MayRound: true, Tolerance: Rounding),
        new Case(12, 4, 64, 64, 130, 201, Format: "F16", MayRound: true, Tolerance: Rounding, Workers: 3),
        new Case(4, 2, 128, 128, 40, 81, Window: 17, Sinks: true, SoftCap: 5, Format: "F16", MayRound: true, Tolerance: Rounding),
        new Case(4, 4, 32, 32, 101, 0, Causal: false, Format: "F16", MayRound: true, Tolerance: Rounding),
        new Case(6, 2, 64, 64, 40, 80, Format: "F16", Rotation: 64, MayRound: true, Tolerance: Rounding),
        new Case(2, 1, 64, 64, 40, 80, MayRound: true),
        new Case(4, 2, 40, 40, 40, 80, Format: "F16", MayRound: true),
        new Case(4, 1, 64, 64, 1, 300, Format: "F16", MayRound: true),
    ];

    [Theory, MemberData(nameof(Cases))]
    public void Output_is_the_softmax_of_scores_over_the_keys_in_sight_times_the_values(Case c)
    {
        int positions = c.Stored + c.Tokens, slots = c.Window == 0 || !c.Causal ? positions : Math.Min(positions, c.Window + c.Tokens);
        float[] keys = Gaussian(positions * c.KeyHeads * c.KeySize, 1), values = Gaussian(positions * c.KeyHeads * c.ValueSize, 2);
        float[] queries = Gaussian(c.Tokens * c.Heads * c.KeySize, 3), sinks = Gaussian(c.Heads, 4), output = new float[c.Tokens * c.Heads * c.ValueSize];
        using var stored = new KeyValueRows(Format.Parse(c.Format), c.KeyHeads, slots, c.KeySize, c.ValuesInKeys ? 0 : c.ValueSize, c.Rotation);
        float[] changed = [.. queries];
        for (int p = 0; p < positions; p++)
            for (int h = 0; h < c.KeyHeads; h++)
                stored.Store(h, p, keys.AsSpan((p * c.KeyHeads + h) * c.KeySize, c.KeySize), values.AsSpan((p * c.KeyHeads + h) * c.ValueSize, c.ValueSize));
        if (c.Rotation == 0) (keys, values) = (Rounded(c.Format, keys, c.KeySize), Rounded(c.Format, values, c.ValueSize));
        using var pool = new WorkerPool(c.Workers);
        fixed (float* q = changed, o = output, s = sinks)
        {
            var input = new AttentionInput
            {
                Queries = q,
                QueryStride = c.Heads * c.KeySize,
                Output = o,
                Stored = stored,
                Tokens = c.Tokens,
                Heads = c.Heads,
                ValueSize = c.ValueSize,
                Position = c.Stored,
                Window = c.Window,
                Causal = c.Causal,
                Scale = 1 / MathF.Sqrt(c.KeySize),
                SoftCap = c.SoftCap,
                Sinks = c.Sinks ? s : null,
                MayRound = c.MayRound,
            };
            Attention.Run(new[] { input }, pool);
        }
        for (int t = 0; t < c.Tokens; t++)
            for (int h = 0; h < c.Heads; h++)
            {
                double[] expected = Defined(c, t, h, queries, keys, c.ValuesInKeys ? keys : values, sinks);
                for (int i = 0; i < c.ValueSize; i++)
                    Assert.Equal(expected[i], output[(t * c.Heads + h) * c.ValueSize + i], c.Tolerance);
            }
    }

    private static float[] Rounded(string format, float[] rows, int size)
    {
        Format stored = Format.Parse(format).ForColumns(size);
        float[] rounded = new float[rows.Length];
        byte[] bytes = new byte[stored.RowBytes(size)];
        for (int at = 0; at < rows.Length; at += size)
        {
            stored.Encode(rows.AsSpan(at, size), default, bytes);
            stored.Decode(bytes, rounded.AsSpan(at, size));
        }
        return rounded;
    }

    private static double[] Defined(Case c, int t, int h, float[] queries, float[] keys, float[] values, float[] sinks)
    {
        int position = c.Stored + t, keyHead = h / (c.Heads / c.KeyHeads), valueSize = c.ValuesInKeys ? c.KeySize : c.ValueSize;
        var sum = new double[c.ValueSize];
        double total = c.Sinks ? Math.Exp(sinks[h]) : 0;
        for (int p = 0; p < c.Stored + c.Tokens; p++)
        {
            if (c.Causal && p > position) continue;
            if (c.Window > 0 && Math.Abs(position - p) >= c.Window) continue;
            double score = 0;
            for (int i = 0; i < c.KeySize; i++) score += (double)queries[(t * c.Heads + h) * c.KeySize + i] * keys[(p * c.KeyHeads + keyHead) * c.KeySize + i];
            score /= MathF.Sqrt(c.KeySize);
            if (c.SoftCap > 0) score = c.SoftCap * Math.Tanh(score / c.SoftCap);
            double weight = Math.Exp(score);
            total += weight;
            for (int i = 0; i < c.ValueSize; i++) sum[i] += weight * values[(p * c.KeyHeads + keyHead) * valueSize + i];
        }
        return [.. sum.Select(s => s / total)];
    }

    [Fact]
    public void Scores_of_any_size_neither_overflow_nor_vanish()
    {
        using var stored = new KeyValueRows(FloatFormat.F32, 1, 3, 8, 8);
        float[] query = [.. Enumerable.Repeat(1e4f, 8)], output = new float[8];
        for (int p = 0; p < 3; p++)
            stored.Store(0, p, Enumerable.Repeat(-1e4f * (p + 1), 8).ToArray(), Enumerable.Repeat((float)p, 8).ToArray());
        using var pool = new WorkerPool(1);
        fixed (float* q = query, o = output)
            Attention.Run(
                new[] { new AttentionInput { Queries = q, QueryStride = 8, Output = o, Stored = stored, Tokens = 1, Heads = 1, ValueSize = 8, Position = 2, Causal = true, Scale = 1 } },
                pool);
        Assert.All(output, y => Assert.Equal(0f, y));
    }

    [Theory]
    [InlineData(1), InlineData(20)]
    public void What_F16_cannot_hold_is_stored_as_its_largest(int tokens)
    {
        using var stored = new KeyValueRows(FloatFormat.F16, 1, 40 + tokens, 16, 16);
        float[] queries = Gaussian(tokens * 16, 1), output = new float[tokens * 16], value = new float[16];
        for (int p = 0; p < 40 + tokens; p++)
        {
            Array.Fill(value, p % 2 == 0 ? 1e30f : float.PositiveInfinity);
            stored.Store(0, p, p == 7 ? value : Gaussian(16, p), value);
        }
        using var pool = new WorkerPool(1);
        fixed (float* q = queries, o = output)
            Attention.Run(
                new[] { new AttentionInput { Queries = q, QueryStride = 16, Output = o, Stored = stored, Tokens = tokens, Heads = 1, ValueSize = 16, Position = 40, Causal = true, Scale = 1 } },
                pool);
        Assert.All(output, y => Assert.Equal(65504f, y, 0.1f));
    }

    internal static float[] Gaussian(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }
}
