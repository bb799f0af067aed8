using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Quantization.Calibration;

namespace Nibble.Quantization.Methods;

/// <summary>
/// Nearest rounding whose scales are chosen by how much each column matters: the mean square of its input, as llama.cpp's
/// importance matrix has it.
/// </summary>
public sealed class ImportanceRounding : CalibratedMethod
{
    /// <summary>The name of nearest rounding that knows what the columns are worth.</summary>
    public const string Word = "importance";

    public override string Name => Word;

    public override string? Quantize(Weight source, Weight target, InputMoments moments, OutputDrift? drift, WorkerPool pool)
    {
        Quantize(source, target, moments.Importance(), pool);
        return null;
    }

    /// <summary>Rounds a matrix whose inputs are unknown: all columns count alike.</summary>
    /// <param name="source">[rows, columns].</param>
    /// <param name="target">As large, in the format to fill.</param>
    public static void Quantize(Weight source, Weight target, WorkerPool pool)
    {
        var alike = new float[source.Columns];
        Array.Fill(alike, 1);
        Quantize(source, target, alike, pool);
    }

    private static void Quantize(Weight source, Weight target, float[] importance, WorkerPool pool)
    {
        var job = new Job { Source = source, Target = target, Importance = importance };
        pool.Run(ref job);
    }

    private struct Job : IParallelJob
    {
        public Weight Source;
        public Weight Target;
        public float[] Importance;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Source.Rows, worker, workers);
            var row = new float[Source.Columns];
            for (int r = from; r < to; r++)
            {
                Source.ReadRow(r, row);
                Target.Format.Encode(row, new FitOptions { Importance = Importance }, Target.Row(r));
            }
        }
    }
}
