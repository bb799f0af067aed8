using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization.Evaluation;
using Nibble.Quantization.Methods;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// What the error of one tensor does to the predictions of the whole model: the tensor alone is rounded, and the mean KL
/// divergence from the original's logits is measured. Divided by the rounding's relative squared error it is a price,
/// which holds for other formats as far as small errors act alike and add up (Fu et al., arXiv:2411.17525, find that they do).
/// </summary>
internal sealed unsafe class Sensitivity : IDisposable
{
    private readonly DecoderModel _model;
    private readonly WorkerPool _pool;
    private readonly IReadOnlyList<int[]> _texts;
    private readonly KvCache _cache;
    private readonly NativeBuffer _reference, _logits;
    private readonly int _vocabulary, _scored;

    /// <param name="source">Must outlive this.</param>
    /// <param name="texts">Token ids, all of one length; the second half of each is looked at.</param>
    /// <param name="pool">Must outlive this.</param>
    public Sensitivity(ModelSource source, IReadOnlyList<int[]> texts, WorkerPool pool)
    {
        (_pool, _texts, _vocabulary) = (pool, texts, source.Config.Vocabulary);
        int length = texts[0].Length;
        _scored = length / 2;
        _model = new DecoderModel(source, pool);
        _cache = _model.NewCache(length);
        _logits = new NativeBuffer((nint)length * _vocabulary * sizeof(float));
        _reference = new NativeBuffer((nint)texts.Count * _scored * _vocabulary * sizeof(float));
        for (int i = 0; i < texts.Count; i++)
        {
            Run(i);
            for (int t = 0; t < _scored; t++) Scored(t).CopyTo(Reference(i, t));
        }
    }

    /// <summary>Rounds some matrices to nearest, measures, and puts the original back.</summary>
    /// <param name="isRounded">Which linear layers, by name.</param>
    /// <returns>The mean KL divergence and the relative squared error of the rounding; null if there is no such layer.</returns>
    public (double Divergence, double RelativeError)? Measure(Func<string, bool> isRounded, Format format)
    {
        Linear[] linears = [.. _model.LinearsAndHead.Where(l => isRounded(l.Name))];
        if (linears.Length == 0) return null;
        Weight[] originals = [.. linears.Select(l => l.Weight)];
        double error = 0;
        foreach (Linear linear in linears)
        {
            Weight rounded = Weight.Allocate(linear.Name, format, linear.Weight.Rows, linear.Weight.Columns);
            new ImportanceRounding().Quantize(linear.Weight, rounded, InputMoments.Alike(linear.Weight.Columns), null, _pool);
            error += FormatError.Between(linear.Weight, rounded, linear.Weight.Rows) / linears.Length;
            linear.Replace(rounded);
        }
        double divergence = Divergence();
        foreach ((Linear linear, Weight original) in linears.Zip(originals)) linear.Replace(original);
        return (divergence, error);
    }

    private double Divergence()
    {
        double sum = 0;
        for (int i = 0; i < _texts.Count; i++)
        {
            Run(i);
            for (int t = 0; t < _scored; t++) sum += LogitStatistics.Divergence(Reference(i, t), Scored(t));
        }
        return sum / ((long)_texts.Count * _scored);
    }

    private void Run(int text)
    {
        _cache.Clear();
        _model.Forward(_texts[text], _cache, new Span<float>(_logits.Pointer, checked(_texts[text].Length * _vocabulary)), LogitPositions.All);
    }

    private Span<float> Scored(int t) => new((float*)_logits.Pointer + (nint)(_texts[0].Length - _scored + t) * _vocabulary, _vocabulary);

    private Span<float> Reference(int text, int t) => new((float*)_reference.Pointer + ((nint)text * _scored + t) * _vocabulary, _vocabulary);

    public void Dispose()
    {
        _cache.Dispose();
        _model.Dispose();
        _logits.Dispose();
        _reference.Dispose();
    }
}
