using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Models.Decoder;
using Nibble.Quantization.Methods;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// Linear layers in Q8_0 for a while, where texts pass only to see what layers read: integer products take a third of the
/// time of floats, and what 8 bits change is small beside what fewer bits will.
/// </summary>
internal sealed class EightBitLinears : IDisposable
{
    private static readonly Format Eight = Format.Parse("Q8_0");

    private readonly List<(Linear Linear, Weight Weight)> _replaced = [];

    /// <param name="linears">They get their weights back in the end.</param>
    public EightBitLinears(IEnumerable<Linear> linears, WorkerPool pool)
    {
        foreach (Linear linear in linears)
        {
            Weight weight = linear.Weight;
            if (weight.Format.Family != FormatFamily.Float || !Eight.Divides(weight.Columns)) continue;
            Weight rounded = Weight.Allocate(weight.Name, Eight, weight.Rows, weight.Columns);
            ImportanceRounding.Quantize(weight, rounded, pool);
            _replaced.Add((linear, weight));
            linear.Replace(rounded);
        }
    }

    public void Dispose()
    {
        foreach ((Linear linear, Weight weight) in _replaced) linear.Replace(weight);
    }
}
