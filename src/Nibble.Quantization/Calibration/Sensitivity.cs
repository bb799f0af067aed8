using Nibble.Core.Formats;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Models;
using Nibble.Models.Decoder;
using Nibble.Quantization.Evaluation;
using Nibble.Quantization.Methods;
using Nibble.Quantization.Recipes;

namespace Nibble.Quantization.Calibration;

/// <summary>
/// What the error of one tensor does to the predictions of the whole model: the tensor alone is rounded, and the mean KL
/// divergence from the original's logits is measured. Divided by the rounding's relative squared error it is a price,
/// which holds for other formats as far as small errors act alike and add up (Fu et al., arXiv:2411.17525, find that they do).
/// </summary>
internal sealed unsafe class Sensitivity : IDisposable
{
    private const string Embedding = "token_embd";

    private readonly DecoderModel _model;
    private readonly WorkerPool _pool;
    private readonly IReadOnlyList<int[]> _texts;
    private readonly LayerWalk _walk;
    private readonly NativeBuffer _reference, _logits;
    private readonly int _vocabulary, _scored;
    private readonly Matrix[] _matrices;

    /// <summary>The layers that the texts of the walk have passed: as long as no matrix of these changes, they need not again.</summary>
    private int _passed;

    /// <summary>Whether they began with another embedding than the model's, or went through layers that are no more what they were.</summary>
    private bool _outdated;

    /// <param name="source">Must outlive this.</param>
    /// <param name="texts">Token ids, all of one length; the second half of each is looked at.</param>
    /// <param name="pool">Must outlive this.</param>
    public Sensitivity(ModelSource source, IReadOnlyList<int[]> texts, WorkerPool pool)
    {
        (_pool, _texts, _vocabulary) = (pool, texts, source.Config.Vocabulary);
        int length = texts[0].Length;
        _scored = length / 2;
        _model = new DecoderModel(source, pool);
        _matrices = [
            .. _model.LinearsAndHead.Select(l => new Matrix(MatrixName.OfLinear(l.Name).Module, l.Weight, l.Replace)),
            new Matrix(Embedding, _model.Embedding, _model.ReplaceEmbedding),
        ];
        _walk = new LayerWalk(_model, texts);
        _logits = new NativeBuffer((nint)_scored * _vocabulary * sizeof(float));
        _reference = new NativeBuffer((nint)texts.Count * _scored * _vocabulary * sizeof(float));
        for (int i = 0; i < texts.Count; i++)
        {
            Run(i, 0);
            for (int t = 0; t < _scored; t++) Scored(t).CopyTo(Reference(i, t));
        }
    }

    /// <summary>Rounds some matrices to nearest, measures, and puts the original back.</summary>
    /// <returns>The mean KL divergence and the relative squared error of the rounding; null if the model has no such matrix.</returns>
    public (double Divergence, double RelativeError)? Measure(IReadOnlySet<string> modules, Format format)
    {
        Matrix[] matrices = Of(modules);
        if (matrices.Length == 0) return null;
        PassTo(FirstLayer(modules));
        double error = Round(modules, format), divergence = Divergence();
        foreach (Matrix matrix in matrices) matrix.Replace(matrix.Original);
        _outdated |= modules.Contains(Embedding);
        return (divergence, error);
    }

    /// <summary>Rounds some matrices to nearest, and leaves them so until they are rounded otherwise, always from the original.</summary>
    /// <param name="modules">The decoder's names: <c>blk.0.attn_q</c>, <c>output</c>, <c>token_embd</c>; of experts, all.</param>
    /// <returns>The relative squared error.</returns>
    public double Round(IReadOnlySet<string> modules, Format format)
    {
        _outdated |= modules.Contains(Embedding) || FirstLayer(modules) < _passed;
        Matrix[] matrices = Of(modules);
        var all = new SquaredError();
        foreach (Matrix matrix in matrices)
        {
            Weight rounded = Weight.Allocate(matrix.Original.Name, format, matrix.Original.Rows, matrix.Original.Columns);
            ImportanceRounding.Quantize(matrix.Original, rounded, _pool);
            all += FormatError.Between(matrix.Original, rounded, matrix.Original.Rows);
            matrix.Replace(rounded);
        }
        return all.Relative;
    }

    private Matrix[] Of(IReadOnlySet<string> modules) => [.. _matrices.Where(m => modules.Contains(m.Module))];

    /// <summary>A matrix of the model, and how another takes its place.</summary>
    private sealed record Matrix(string Module, Weight Original, Action<Weight> Replace);

    /// <summary>
    /// Takes the texts through the layers before the one that these matrices are of, as they are now. What is measured next need
    /// not pass them; matrices are therefore best measured in the order of the layers.
    /// </summary>
    public void PassBefore(IReadOnlySet<string> modules) => PassTo(FirstLayer(modules));

    private void PassTo(int layer)
    {
        if (layer < _passed || _outdated) Restart();
        for (; _passed < layer; _passed++) _walk.Pass(_passed);
    }

    private void Restart()
    {
        _walk.Restart();
        (_passed, _outdated) = (0, false);
    }

    /// <summary>The first layer that sees a change of these matrices; the embedding comes before all, the head after the last.</summary>
    private int FirstLayer(IReadOnlySet<string> modules) =>
        modules.Min(m => m == "output" ? _model.LayerCount : Math.Max(0, TensorRoles.LayerOf(m + ".")));

    /// <summary>The mean KL divergence of the model as it is from the original.</summary>
    public double Divergence()
    {
        if (_outdated) Restart();
        double sum = 0;
        for (int i = 0; i < _texts.Count; i++)
        {
            Run(i, _passed);
            for (int t = 0; t < _scored; t++) sum += LogitStatistics.Divergence(Reference(i, t), Scored(t));
        }
        return sum / ((long)_texts.Count * _scored);
    }

    private void Run(int text, int layer)
    {
        ReadOnlySpan<float> states = _walk.Finish(layer, text);
        _model.Logits(states[^(_scored * _model.Config.Hidden)..], new Span<float>(_logits.Pointer, checked(_scored * _vocabulary)));
    }

    private Span<float> Scored(int t) => new((float*)_logits.Pointer + (nint)t * _vocabulary, _vocabulary);

    private Span<float> Reference(int text, int t) => new((float*)_reference.Pointer + ((nint)text * _scored + t) * _vocabulary, _vocabulary);

    public void Dispose()
    {
        _walk.Dispose();
        _model.Dispose();
        _logits.Dispose();
        _reference.Dispose();
    }
}
