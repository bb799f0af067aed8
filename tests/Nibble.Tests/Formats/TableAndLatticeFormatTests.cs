using Nibble.Core.Formats;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Formats;

/// <summary>The formats with unequal levels or lattices: their searches against what ggml's lose on the same weights.</summary>
public class TableAndLatticeFormatTests
{
    private static readonly string[] Formats =
    [
        "IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4", "IQ3_S", "IQ3_XXS", "IQ2_S", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S",
    ];

    private static IEnumerable<GoldenGgml.Entry> Known => GoldenGgml.Entries.Where(e => Formats.Contains(Format.OfGgufType(e.Id)?.Name));

    public static TheoryData<string> Names => new(Known.Where(e => !e.Importance).Select(e => e.Name));

    public static TheoryData<string> NamesWithImportance => new(Known.Where(e => e.Importance).Select(e => e.Name));

    [Theory, MemberData(nameof(Names))]
    public void Encoding_loses_no_more_than_the_reference(string name)
    {
        (GoldenGgml.Entry entry, Format format) = Find(name);
        float[] ours = RoundTrip(format, default);
        Assert.InRange(Rows.RelativeError(GoldenGgml.Input, ours), 0, entry.RelativeError);
    }

    [Theory, MemberData(nameof(NamesWithImportance))]
    public void Encoding_with_importance_loses_no_more_than_the_reference(string name)
    {
        (GoldenGgml.Entry entry, Format format) = Find(name);
        float[] input = GoldenGgml.Input, importance = GoldenGgml.ColumnImportance, theirs = new float[input.Length];
        float[] ours = RoundTrip(format, new FitOptions { Importance = importance });
        Assert.InRange(Rows.RelativeError(input, ours), 0, entry.RelativeError);

        format.Decode(GoldenGgml.Bytes(name + ".bin"), theirs);
        Assert.InRange(Rows.RelativeError(input, ours, importance), 0, 0.97 * Rows.RelativeError(input, theirs, importance));
    }

    [Theory, InlineData("mxfp4"), InlineData("nvfp4")]
    public void The_reference_range_gives_the_reference_bytes(string name)
    {
        (_, Format format) = Find(name);
        float[] input = GoldenGgml.Input;
        var bytes = new byte[GoldenGgml.Rows * format.RowBytes(GoldenGgml.Columns)];
        format.Encode(input, new FitOptions { Range = DynamicRange.Reference }, bytes);
        Assert.Equal(GoldenGgml.Bytes(name + ".bin"), bytes);
    }

    /// <summary>Levels laid over ± 0.01 end there, or at less than twice that where a scale is a power of two.</summary>
    [Theory, InlineData("IQ4_NL"), InlineData("IQ4_XS"), InlineData("MXFP4"), InlineData("NVFP4")]
    public void A_rule_for_the_range_is_obeyed(string name)
    {
        Format format = Format.Parse(name);
        float[] row = Rows.Gaussian(256, seed: 11), decoded = new float[256];
        var bytes = new byte[format.RowBytes(256)];
        format.Encode(row, new FitOptions { Range = new FixedRange(0.01f) }, bytes);
        format.Decode(bytes, decoded);
        Assert.InRange(decoded.Max(Math.Abs), 0.009f, 0.02f);
    }

    private sealed class FixedRange(float end) : DynamicRange
    {
        public override string Name => "fixed";

        public override (float Low, float High) Choose(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, IQuantizerLevels levels) =>
            (-end, end);
    }

    private static (GoldenGgml.Entry, Format) Find(string name)
    {
        GoldenGgml.Entry entry = GoldenGgml.Entries.Single(e => e.Name == name);
        return (entry, Format.OfGgufType(entry.Id)!);
    }

    private static float[] RoundTrip(Format format, FitOptions options)
    {
        float[] input = GoldenGgml.Input, decoded = new float[input.Length];
        var row = new byte[format.RowBytes(GoldenGgml.Columns)];
        for (int at = 0; at < input.Length; at += GoldenGgml.Columns)
        {
            format.Encode(input.AsSpan(at, GoldenGgml.Columns), options, row);
            format.Decode(row, decoded.AsSpan(at, GoldenGgml.Columns));
        }
        return decoded;
    }
}
