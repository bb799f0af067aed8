using Nibble.Core.Formats;
using Nibble.Models;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// What <see cref="LayerQuantizer"/> holds at most, counted from shapes alone: the stream of all texts, what one text needs on its
/// way through a layer, and of the layer that needs most its weights, its statistics and what is made of them.
/// </summary>
/// <param name="config">Of the model.</param>
/// <param name="layers">The matrices of each layer that has any, and the format each gets.</param>
/// <param name="tokens">Of all texts.</param>
/// <param name="longest">Tokens of the longest text.</param>
internal sealed class CalibrationMemory(
    ModelConfig config, IReadOnlyList<CalibrationMemory.Matrix[]> layers, long tokens, int longest, CalibratedMethod method, CalibrationInputs inputs)
{
    /// <param name="Linear">The decoder's name for it.</param>
    /// <param name="StoredBytes">As the source has it.</param>
    /// <param name="Format">That it gets.</param>
    public sealed record Matrix(string Linear, int Rows, int Columns, long StoredBytes, Format Format)
    {
        /// <summary>Alike for matrices that read one input, as far as their names tell: no decoder is made only to count.</summary>
        public string Input => Linear.EndsWith(".attn_k", StringComparison.Ordinal) || Linear.EndsWith(".attn_v", StringComparison.Ordinal) ? $"{Linear[..^1]}q"
            : Linear.Replace(".ffn_up", ".ffn_gate", StringComparison.Ordinal);

        public long Weights => (long)Rows * Columns;
        public long Bytes => Format.ForColumns(Columns).RowBytes(Columns) * Rows;
    }

    private const int Single = sizeof(float);

    /// <summary>The original model and the one that is being quantized, or the latter alone.</summary>
    private int Models => SeesDrift ? 2 : 1;

    private bool SeesDrift => method.SeesDrift && inputs == CalibrationInputs.Quantized;

    /// <summary>At most, beside what the process takes anyway.</summary>
    public long Bytes => Models * (Streams + Caches + Workspace) + layers.Max(Layer) + Garbage;

    /// <summary>Rows on their way through a method, which the collector lets lie until there is so much of them (measured).</summary>
    private const long Garbage = 20 << 20;

    /// <summary>The residual stream of all texts, and of one that is tried.</summary>
    private long Streams => (tokens + longest) * config.Hidden * Single;

    /// <summary>Keys and values of one text; each layer keeps its own.</summary>
    private long Caches => 2L * longest * config.KvHeads * config.HeadSize * config.Layers.Count * Single;

    /// <summary>Inputs with their 8-bit codes, heads, and the middle of the feed-forward block with what goes into it.</summary>
    private long Workspace
    {
        get
        {
            long heads = (long)config.Heads * config.HeadSize, keys = (long)config.KvHeads * config.HeadSize;
            long widest = layers.SelectMany(l => l).Max(m => (long)Math.Max(m.Columns, m.Rows));
            const double Codes = 1 + 3.0 * Single / 32;
            return (long)(longest * ((config.Hidden + widest) * (Single + Codes) + (config.Hidden + heads + 2 * keys + 2 * widest) * Single));
        }
    }

    private long Layer(Matrix[] matrices)
    {
        long bytes = matrices.Sum(m => m.StoredBytes + (inputs == CalibrationInputs.Quantized ? EightBits(m) : 0) + 2 * m.Bytes + (method.Folds ? m.Weights * Single : 0));
        foreach (IGrouping<string, Matrix> input in matrices.GroupBy(m => m.Input))
        {
            long columns = input.First().Columns, square = columns * columns * Single;
            bytes += square + (method.HasFeedback ? (SeesDrift ? 2 : 1) * square : 0);
            if (SeesDrift && !MatrixName.IsExpert(input.Key)) bytes += Drift(input, columns, square);
        }
        // Inputs as they are laid out for sums; with drift, what drifted as it is and laid out, and what it makes of the outputs.
        bytes += (SeesDrift ? 4L : 1) * longest * matrices.Max(m => m.Columns) * Single;
        // The factor in double precision is held while one matrix is quantized, and of some rows what they would be, are, and lose.
        return bytes + (method.HasFeedback ? matrices.Max(m => 2L * m.Columns * m.Columns * Single + Gptq.ChunkRows * 4L * m.Columns * Single) : 0);
    }

    /// <summary>A copy in Q8_0, and the same as kernels want it.</summary>
    private static long EightBits(Matrix m) => m.Weights * (34 + 36) / 32;

    /// <summary>The drift of an input or of the outputs, what it makes of the outputs of a weight, and the original's input of one text.</summary>
    private long Drift(IGrouping<string, Matrix> input, long columns, long square)
    {
        long rows = input.Sum(m => (long)m.Rows), outputs = rows * columns * Single;
        return outputs + (rows >= columns ? square : 0) + longest * columns * Single;
    }
}
