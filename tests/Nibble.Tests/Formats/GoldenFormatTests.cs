using Nibble.Core.Formats;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Formats;

/// <summary>Our formats against bytes that ggml made.</summary>
public class GoldenFormatTests
{
    private static IEnumerable<GoldenGgml.Entry> Known => GoldenGgml.Entries.Where(e => Format.OfGgufType(e.Id) is not null);

    public static TheoryData<string> Names => new(Known.Select(e => e.Name));

    /// <summary>Those with decoded floats beside them.</summary>
    public static TheoryData<string> Decoded => new(Known.Where(e => GoldenGgml.Has(e.Name + ".f32")).Select(e => e.Name));

    /// <summary>The types whose reference is a plain rounding, which is also our default where no importance is known.</summary>
    public static TheoryData<string> Plain =>
        ["f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "tq1_0", "tq2_0", "q1_0", "q2_0"];

    /// <summary>The types that we search for ourselves: the two-level ones always, all others of one scale with importance.</summary>
    public static TheoryData<string> Searched =>
    [
        "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q2_k-imatrix", "q3_k-imatrix", "q4_k-imatrix", "q5_k-imatrix", "q6_k-imatrix",
        "q4_0-imatrix", "q4_1-imatrix", "q5_0-imatrix", "q5_1-imatrix", "q8_0-imatrix", "q1_0-imatrix", "q2_0-imatrix",
        "tq1_0-imatrix", "tq2_0-imatrix",
    ];

    [Theory, MemberData(nameof(Names))]
    public void A_block_is_as_large_as_in_ggml(string name)
    {
        (GoldenGgml.Entry entry, Format format) = Find(name);
        Assert.Equal(entry.Type.ToUpperInvariant(), format.Name);
        Assert.Equal((entry.Block, entry.BlockBytes), (format.BlockSize, format.BlockBytes));
    }

    [Theory, MemberData(nameof(Decoded))]
    public void Decoding_is_that_of_ggml_bit_for_bit(string name)
    {
        (_, Format format) = Find(name);
        float[] expected = GoldenGgml.Floats(name + ".f32"), decoded = new float[expected.Length];
        format.Decode(GoldenGgml.Bytes(name + ".bin"), decoded);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(BitConverter.SingleToUInt32Bits(expected[i]) == BitConverter.SingleToUInt32Bits(decoded[i]),
                $"weight {i} is {decoded[i]:G9}, not {expected[i]:G9}");
        }
    }

    [Theory, MemberData(nameof(Plain))]
    public void Plain_rounding_gives_the_bytes_of_ggml(string name)
    {
        (_, Format format) = Find(name);
        byte[] expected = GoldenGgml.Bytes(name + ".bin");
        Assert.Equal(expected, Encode(format, default));
        Assert.Equal(expected, Encode(format, new FitOptions { Range = DynamicRange.Reference }));
        Assert.Equal(expected, Encode(format, new FitOptions { Range = DynamicRange.Reference, Importance = GoldenGgml.ColumnImportance }));
    }

    [Theory, MemberData(nameof(Searched))]
    public void A_search_loses_no_more_than_that_of_ggml(string name)
    {
        (GoldenGgml.Entry entry, Format format) = Find(name);
        float[] input = GoldenGgml.Input, importance = GoldenGgml.ColumnImportance;
        float[] ours = Decode(format, Encode(format, new FitOptions { Importance = entry.Importance ? importance : default(float[]) }));
        // The manifest rounds to six digits.
        Assert.InRange(Rows.RelativeError(input, ours), 0, entry.RelativeError * (1 + 1e-5));
        if (!entry.Importance) return;
        float[] theirs = Decode(format, GoldenGgml.Bytes(name + ".bin"));
        Assert.InRange(Rows.RelativeError(input, ours, importance), 0, Rows.RelativeError(input, theirs, importance));
    }

    private static (GoldenGgml.Entry, Format) Find(string name)
    {
        GoldenGgml.Entry entry = GoldenGgml.Entries.Single(e => e.Name == name);
        return (entry, Format.OfGgufType(entry.Id)!);
    }

    private static byte[] Encode(Format format, FitOptions options)
    {
        float[] input = GoldenGgml.Input;
        var rowBytes = (int)format.RowBytes(GoldenGgml.Columns);
        var bytes = new byte[GoldenGgml.Rows * rowBytes];
        for (int r = 0; r < GoldenGgml.Rows; r++)
            format.Encode(input.AsSpan(r * GoldenGgml.Columns, GoldenGgml.Columns), options, bytes.AsSpan(r * rowBytes, rowBytes));
        return bytes;
    }

    private static float[] Decode(Format format, byte[] bytes)
    {
        var weights = new float[GoldenGgml.Rows * GoldenGgml.Columns];
        format.Decode(bytes, weights);
        return weights;
    }
}
