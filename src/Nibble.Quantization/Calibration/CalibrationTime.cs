using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization.Calibration;

/// <summary>What calibrating takes: operations counted from shapes, over rates of this machine that are timed on small matrices.</summary>
/// <param name="layers">The matrices of each layer.</param>
internal sealed unsafe class CalibrationTime(IReadOnlyList<CalibrationMemory.Matrix[]> layers, CalibratedMethod method, CalibrationInputs inputs, WorkerPool pool)
{
    /// <summary>Columns and tokens of what is timed.</summary>
    private const int Size = 512;

    /// <summary>Rows of a product, so many that laying out its inputs costs as little as in a feed-forward block; and of a matrix that is rounded.</summary>
    private const int ProductRows = 1024, Rows = 64;

    /// <summary>How long a method is run until the runtime has compiled what is in it: much more code than a product.</summary>
    private const double CompiledSeconds = 1.5;

    /// <summary>The same for a product.</summary>
    private const double ProductTimedSeconds = 0.4;

    /// <summary>Attention, whose scores are a small part of a layer, runs at about half the rate of products in floats.</summary>
    private const double AttentionShare = 0.5;

    /// <param name="tokens">Of all texts.</param>
    /// <param name="length">Of a text.</param>
    /// <param name="heads">Numbers of a token's queries.</param>
    public double Seconds(long tokens, int length, int heads)
    {
        using var x = new Activation();
        x.Resize(Size, Size);
        var random = new Random(0);
        for (int t = 0; t < Size; t++)
            foreach (ref float v in x.Row(t)) v = random.NextSingle() - 0.5f;
        x.Changed();
        double integers = ProductSeconds(x, "Q8_0", null), floats = ProductSeconds(x, "BF16", InputRounding.BFloat16);
        var moments = new InputMoments(Size);
        using var panels = new TokenPanels();
        double layout = Forecaster.Time(() => panels.Load(x, pool)) / (Size * (double)Size);
        double sums = Forecaster.Time(() => moments.Add(x, panels, pool)) / (Size * (double)Size * Size);
        // Half of them are made, and drifts are made whole.
        double perToken = 0;
        foreach (CalibrationMemory.Matrix[] layer in layers)
        {
            double weights = layer.Sum(m => (double)m.Weights), squares = layer.GroupBy(m => m.Input).Sum(g => (double)g.First().Columns * g.First().Columns);
            double attention = (double)heads * length * floats / AttentionShare;
            double read = layer.GroupBy(m => m.Input).Sum(g => (double)g.First().Columns);
            perToken += squares * sums + read * layout;
            if (inputs == CalibrationInputs.Quantized) perToken += 2 * (weights * integers + attention);
            if (inputs != CalibrationInputs.Quantized || method.SeesDrift) perToken += weights * floats + attention;
            if (inputs == CalibrationInputs.Quantized && method.SeesDrift)
                perToken += 2 * layer.GroupBy(m => m.Input).Sum(g => DriftSums(g)) * sums + read * layout;
        }
        return perToken * tokens + RoundingSeconds(moments);
    }

    private static double DriftSums(IGrouping<string, CalibrationMemory.Matrix> input) =>
        Math.Min(input.Sum(m => (double)m.Weights), (double)input.First().Columns * input.First().Columns);

    /// <summary>A product of one weight and one input.</summary>
    private double ProductSeconds(Activation x, string format, InputRounding? rounding)
    {
        Weight weight = Weight.Allocate("timed", Format.Parse(format), ProductRows, Size);
        using var y = new NativeBuffer(ProductRows * Size * sizeof(float));
        return Forecaster.Time(() => MatrixProduct.Multiply(weight, x, (float*)y.Pointer, pool, rounding), ProductTimedSeconds) / (ProductRows * (double)Size * Size);
    }

    /// <summary>The method itself, each format timed on a few rows of random weights.</summary>
    private double RoundingSeconds(InputMoments moments)
    {
        var random = new Random(0);
        Weight source = Weight.Allocate("timed", FloatFormat.F32, Rows, Size);
        var row = new float[Size];
        for (int r = 0; r < Rows; r++)
        {
            foreach (ref float w in row.AsSpan()) w = random.NextSingle() - 0.5f;
            source.Format.Encode(row, default, source.Row(r));
        }
        return layers.SelectMany(l => l).GroupBy(m => m.Format.Name).Sum(group =>
        {
            Weight target = Weight.Allocate("timed", group.First().Format.Divides(Size) ? group.First().Format.ForColumns(Size) : Format.Parse("Q4_0"), Rows, Size);
            return Forecaster.Time(() => method.Quantize(source, target, moments, null, pool), CompiledSeconds) * group.Sum(m => (double)m.Weights) / (Rows * Size);
        });
    }
}
