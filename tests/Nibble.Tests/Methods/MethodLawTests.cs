using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Quantization.Calibration;
using Nibble.Quantization.Methods;

namespace Nibble.Tests.Methods;

/// <summary>What every calibrated method owes to every format.</summary>
public sealed class MethodLawTests : IDisposable
{
    private const int Rows = 12, Columns = 256;

    private static readonly string[] Formats = ["Q4_0", "Q4_K", "Q2_K", "Q6_K", "IQ4_NL", "IQ3_XXS", "Linear3", "Linear2-min-g32", "Linear4-sym-row", "NF4", "Log4", "MXFP4"];

    private readonly WorkerPool _pool = new(2);

    /// <summary>SmoothQuant makes inputs easy, not weights.</summary>
    public static TheoryData<string, string> Pairs => [.. from method in CalibratedMethod.All where method is not SmoothQuant from format in Formats select (method.Name, format)];

    [Theory, MemberData(nameof(Pairs))]
    public void The_layer_errs_less_than_rounded_to_nearest(string name, string formatName)
    {
        var method = CalibratedMethod.Parse(name);
        Format format = Format.Parse(formatName).ForColumns(Columns);
        var layer = new LayerProblem(Rows, Columns, seed: 1, _pool);
        Weight nearest = Weight.Allocate("nearest", format, Rows, Columns), made = Weight.Allocate("made", format, Rows, Columns);
        var row = new float[Columns];
        for (int r = 0; r < Rows; r++)
        {
            layer.Weight.ReadRow(r, row);
            format.Encode(row, default, nearest.Row(r));
        }
        double before = layer.Error(nearest);
        if (method.Folds) layer.Scale(method.ChooseScales([(layer.Weight, format)], layer.Moments, _pool));
        method.Quantize(layer.Weight, made, layer.Moments, null, _pool);
        double after = layer.Error(made);
        Assert.True(after < before, $"{after} after {before}: {after / before:F3}");
    }

    public static TheoryData<string> Methods => [.. CalibratedMethod.All.Select(m => m.Name)];

    [Theory, MemberData(nameof(Methods))]
    public void One_thread_or_many_give_the_same_scales_and_bytes(string name)
    {
        var method = CalibratedMethod.Parse(name);
        var results = new List<(float[] Scales, byte[][] Rows)>();
        foreach (int threads in (int[])[1, 3])
        {
            using var pool = new WorkerPool(threads);
            var layer = new LayerProblem(Rows, Columns, seed: 2, pool);
            Weight target = Weight.Allocate("w", Format.Parse("Q4_K"), Rows, Columns);
            float[] scales = method.Folds ? method.ChooseScales([(layer.Weight, target.Format)], layer.Moments, pool) : [];
            method.Quantize(layer.Weight, target, layer.Moments, null, pool);
            results.Add((scales, [.. Enumerable.Range(0, Rows).Select(r => target.Row(r).ToArray())]));
        }
        Assert.Equal(results[0].Scales, results[1].Scales);
        Assert.Equal(results[0].Rows, results[1].Rows);
    }

    /// <summary>Inputs with outliers, rounded to 8 bits a token with the weights at 8 bits, lose less once they are smooth.</summary>
    [Fact]
    public void Smooth_inputs_survive_eight_bits()
    {
        var layer = new LayerProblem(Rows, Columns, seed: 3, _pool);
        double before = RoundedError(layer);
        layer.Scale(new SmoothQuant().ChooseScales([(layer.Weight, Format.Parse("Q8_0"))], layer.Moments, _pool));
        Assert.InRange(RoundedError(layer), 0, 0.5 * before);
    }

    private static double RoundedError(LayerProblem layer)
    {
        double sum = 0;
        float[] w = new float[Columns], x = new float[Columns];
        for (int t = 0; t < layer.Inputs.Tokens; t += 7)
            for (int r = 0; r < Rows; r++)
            {
                layer.Weight.ReadRow(r, w);
                layer.Inputs.Row(t).CopyTo(x);
                double exact = w.Zip(x, (a, b) => (double)a * b).Sum();
                double error = Rounded(w).Zip(Rounded(x), (a, b) => (double)a * b).Sum() - exact;
                sum += error * error;
            }
        return sum;
    }

    private static IEnumerable<float> Rounded(float[] values)
    {
        float step = values.Max(Math.Abs) / 127;
        return values.Select(v => step * MathF.Round(v / step));
    }

    [Theory, InlineData("smoothquant:0.7", true), InlineData("smoothquant:1.7", false), InlineData("smoothquant:x", false)]
    public void The_strength_of_smoothing_is_part_of_its_name(string name, bool known)
    {
        if (known) Assert.Equal(name, CalibratedMethod.Parse(name).Name);
        else Assert.Throws<Nibble.Core.UnusableInputException>(() => CalibratedMethod.Parse(name));
    }

    public void Dispose() => _pool.Dispose();
}
