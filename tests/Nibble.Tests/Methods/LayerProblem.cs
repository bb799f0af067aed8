using Nibble.Core.Formats;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Quantization.Calibration;

namespace Nibble.Tests.Methods;

/// <summary>A random layer whose inputs are correlated, some of their columns much larger than the others.</summary>
internal sealed class LayerProblem
{
    public LayerProblem(int rows, int columns, int seed, WorkerPool pool)
    {
        var random = new Random(seed);
        Weight = Weight.Allocate("blk.0.ffn_up", FloatFormat.F32, rows, columns);
        var row = new float[columns];
        for (int r = 0; r < rows; r++)
        {
            foreach (ref float w in row.AsSpan()) w = 0.05f * (float)Enumerable.Range(0, 3).Sum(_ => random.NextDouble() - 0.5);
            Weight.Format.Encode(row, default, Weight.Row(r));
        }
        Inputs = new Activation();
        Inputs.Resize(3 * columns, columns);
        for (int t = 0; t < Inputs.Tokens; t++)
        {
            Span<float> x = Inputs.Row(t);
            for (int i = 0; i < columns; i++) x[i] = (float)(random.NextDouble() + random.NextDouble() - 1) + (i > 0 ? 0.7f * x[i - 1] : 0);
        }
        for (int t = 0; t < Inputs.Tokens; t++)
            for (int i = 5; i < columns; i += 41) Inputs.Row(t)[i] *= 12;
        Inputs.Changed();
        Moments = new InputMoments(columns);
        Moments.Add(Inputs, pool);
    }

    public Weight Weight { get; }

    public Activation Inputs { get; }

    public InputMoments Moments { get; }

    /// <summary>The same layer with its input's columns divided by scales, and its own multiplied.</summary>
    public void Scale(float[] scales)
    {
        var row = new float[Weight.Columns];
        for (int r = 0; r < Weight.Rows; r++)
        {
            Weight.ReadRow(r, row);
            for (int i = 0; i < row.Length; i++) row[i] *= scales[i];
            Weight.Format.Encode(row, default, Weight.Row(r));
        }
        for (int t = 0; t < Inputs.Tokens; t++)
            for (int i = 0; i < row.Length; i++) Inputs.Row(t)[i] /= scales[i];
        Inputs.Changed();
        Moments.Scale([.. scales.Select(s => 1 / s)]);
    }

    /// <summary>tr(E H Eᵀ), summed over tokens: the squared error of the layer's output.</summary>
    public double Error(Weight quantized)
    {
        float[] row = new float[Weight.Columns], other = new float[Weight.Columns];
        double sum = 0;
        for (int r = 0; r < Weight.Rows; r++)
        {
            Weight.ReadRow(r, row);
            quantized.ReadRow(r, other);
            for (int t = 0; t < Inputs.Tokens; t++)
            {
                double error = 0;
                for (int i = 0; i < row.Length; i++) error += (row[i] - other[i]) * (double)Inputs.Row(t)[i];
                sum += error * error;
            }
        }
        return sum;
    }
}
