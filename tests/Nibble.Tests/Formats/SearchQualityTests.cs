using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Files;
using Nibble.Quantization.Ranges;
using Nibble.Tests.Golden;

namespace Nibble.Tests.Formats;

/// <summary>
/// The searches of the GGUF formats on a real matrix: the first 256 rows of <c>model.layers.5.mlp.up_proj</c> of
/// models/base, against the relative errors of ggml's own quantizer there (revision d99724f), without importance and with
/// that of the golden folder, by which the error is then weighted.
/// </summary>
public class SearchQualityTests
{
    private const int MatrixRows = 256;

    /// <summary>
    /// Format, error of ggml, weighted error of ggml with importance, and the part of both that we must stay within. Q3_K
    /// has little to gain: even scales of unlimited precision, searched to the end, would lose 0.96 of what ggml loses.
    /// </summary>
    public static TheoryData<string, double, double, double> Ggml => new()
    {
        { "Q2_K", 0.0882641, 0.0624153, 0.92 },
        { "Q3_K", 0.0227795, 0.0192005, 0.975 },
        { "Q4_K", 0.00508071, 0.00452294, 0.95 },
        { "Q5_K", 0.00131238, 0.00116027, 0.92 },
        { "Q6_K", 0.000316454, 0.000279044, 0.88 },
    };

    [Theory, MemberData(nameof(Ggml))]
    public void Two_level_formats_lose_clearly_less_than_those_of_ggml(string name, double error, double weightedError, double part)
    {
        float[] matrix = Matrix(), importance = GoldenGgml.ColumnImportance;
        Format format = Format.Parse(name);
        Assert.InRange(Rows.RelativeError(matrix, RoundTrip(format, matrix, default)), 0, part * error);
        Assert.InRange(Rows.RelativeError(matrix, RoundTrip(format, matrix, importance), importance), 0, part * weightedError);
    }

    [Theory]
    [InlineData("Q4_0", 0.00632782), InlineData("Q4_1", 0.00439808), InlineData("Q5_0", 0.00154279), InlineData("Q5_1", 0.00103788)]
    public void Formats_of_one_scale_lose_clearly_less_when_importance_is_known(string name, double weightedError)
    {
        float[] matrix = Matrix(), importance = GoldenGgml.ColumnImportance;
        float[] decoded = RoundTrip(Format.Parse(name), matrix, importance);
        Assert.InRange(Rows.RelativeError(matrix, decoded, importance), 0, 0.975 * weightedError);
    }

    /// <summary>The search of eight groups at once, whose trials are few, against the one that looks at every pair of ends.</summary>
    [Theory]
    [InlineData("Linear2"), InlineData("Linear3"), InlineData("Linear4"), InlineData("Linear5"), InlineData("Linear2-sym"), InlineData("Linear4-sym")]
    [InlineData("Linear3-g128"), InlineData("Linear4-g32"), InlineData("Linear4-g32-s8")]
    [InlineData("Linear2-min"), InlineData("Linear3-min"), InlineData("Linear4-min"), InlineData("Linear5-min"), InlineData("Linear4-min-g32")]
    public void Linear_formats_lose_within_half_a_percent_of_a_thorough_search(string name)
    {
        float[] matrix = Matrix(), importance = GoldenGgml.ColumnImportance;
        Format format = Format.Parse(name);
        double thorough = Rows.RelativeError(matrix, RoundTrip(format, matrix, null, new MeanSquareRange()));
        Assert.InRange(Rows.RelativeError(matrix, RoundTrip(format, matrix, null)), 0, 1.005 * thorough);
        thorough = Rows.RelativeError(matrix, RoundTrip(format, matrix, importance, new ImportanceRange()), importance);
        Assert.InRange(Rows.RelativeError(matrix, RoundTrip(format, matrix, importance), importance), 0, 1.005 * thorough);
    }

    private static float[] Matrix()
    {
        using TensorFile file = TensorFile.Open(SharedData.Path("models/base"));
        Weight weight = file.Load(file.Get("model.layers.5.mlp.up_proj.weight"));
        var matrix = new float[MatrixRows * weight.Columns];
        for (int r = 0; r < MatrixRows; r++) weight.ReadRow(r, matrix.AsSpan(r * weight.Columns));
        return matrix;
    }

    private static float[] RoundTrip(Format format, float[] matrix, float[]? importance, DynamicRange? range = null)
    {
        const int Columns = GoldenGgml.Columns;
        var decoded = new float[matrix.Length];
        var row = new byte[format.RowBytes(Columns)];
        for (int at = 0; at < matrix.Length; at += Columns)
        {
            format.Encode(matrix.AsSpan(at, Columns), new FitOptions { Importance = importance, Range = range }, row);
            format.Decode(row, decoded.AsSpan(at, Columns));
        }
        return decoded;
    }
}
