using System.Numerics.Tensors;
using Nibble.Core;
using Nibble.Core.Memory;
using Nibble.Core.Threading;
using Nibble.Models.Decoder;

namespace Nibble.Quantization.Evaluation;

/// <summary>What an evaluation found.</summary>
/// <param name="Model">How well the model predicts the text.</param>
/// <param name="Reference">How well the reference does, where there is one.</param>
/// <param name="Divergence">How far the model's predictions lie from the reference's, where there is one.</param>
public sealed record EvaluationResult(Perplexity Model, Perplexity? Reference, Divergence? Divergence);

/// <summary>
/// Runs a text through a model, and through a reference beside it, chunk by chunk: logits live only until they are scored.
/// </summary>
public sealed unsafe class Evaluator : IDisposable
{
    /// <summary>The most logits that are kept at a time, for each model.</summary>
    private const int MostLogits = 1 << 24;

    private readonly WorkerPool _pool;
    private readonly EvaluationText _text;
    private readonly Side _model;
    private readonly Side? _reference;
    private readonly int _batch;

    /// <exception cref="UnusableInputException">The models' vocabularies differ in size.</exception>
    public Evaluator(DecoderModel model, DecoderModel? reference, EvaluationText text, WorkerPool pool)
    {
        int vocabulary = model.Config.Vocabulary;
        if (reference is not null && reference.Config.Vocabulary != vocabulary)
            throw new UnusableInputException(
                $"the model has a vocabulary of {vocabulary} tokens and the reference one of {reference.Config.Vocabulary}; a model can only be compared with what it was made from");
        (_pool, _text) = (pool, text);
        _batch = Math.Clamp(MostLogits / vocabulary, 1, text.Scored);
        _model = new Side("the model", model, text, _batch);
        _reference = reference is null ? null : new Side("the reference", reference, text, _batch);
    }

    /// <summary>Memory of the model's keys and values.</summary>
    public long CacheBytes => _model.CacheBytes;

    /// <param name="progress">Told the number of finished chunks.</param>
    /// <param name="cancellation">Looked at between batches.</param>
    /// <exception cref="UnusableInputException">A logit is no finite number.</exception>
    public EvaluationResult Run(Action<int>? progress = null, CancellationToken cancellation = default)
    {
        var divergences = new double[_reference is null ? 0 : _text.Chunks * _text.Scored];
        int agreeing = 0;
        for (int c = 0; c < _text.Chunks; c++)
        {
            int[] chunk = _text.Chunk(c);
            _model.Start(chunk);
            _reference?.Start(chunk);
            for (int first = _text.FirstScored; first < _text.Context - 1; first += _batch)
            {
                cancellation.ThrowIfCancellationRequested();
                int count = Math.Min(_batch, _text.Context - 1 - first);
                _model.Score(chunk, first, count, c, _pool);
                if (_reference is null) continue;
                _reference.Score(chunk, first, count, c, _pool);
                agreeing += Compare(divergences.AsSpan(c * _text.Scored + first - _text.FirstScored, count));
            }
            progress?.Invoke(c + 1);
        }
        return new EvaluationResult(
            Perplexity.Of(_model.Nll), _reference is null ? null : Perplexity.Of(_reference.Nll),
            _reference is null ? null : Divergence.Of(divergences, (double)agreeing / divergences.Length));
    }

    /// <summary>Divergences of the batch that both sides have just scored; returns how often both think the same token likeliest.</summary>
    private int Compare(Span<double> divergences)
    {
        var agrees = new bool[divergences.Length];
        fixed (double* kld = divergences)
        {
            var job = new CompareJob { Model = _model, Reference = _reference!, Divergences = kld, Agrees = agrees };
            _pool.Run(ref job);
        }
        return agrees.Count(a => a);
    }

    public void Dispose()
    {
        _model.Dispose();
        _reference?.Dispose();
    }

    /// <summary>One of the models, its cache, and the logits of the batch at hand.</summary>
    private sealed class Side(string name, DecoderModel model, EvaluationText text, int batch) : IDisposable
    {
        private readonly KvCache _cache = model.NewCache(text.Context);
        private readonly int _vocabulary = model.Config.Vocabulary;
        private readonly NativeBuffer _logits = new((nint)batch * model.Config.Vocabulary * sizeof(float));

        /// <summary>Of every scored token of the text.</summary>
        public double[] Nll { get; } = new double[text.Chunks * text.Scored];

        public long CacheBytes => _cache.Bytes;

        public Span<float> Logits(int row) => new((float*)_logits.Pointer + (nint)row * _vocabulary, _vocabulary);

        /// <summary>Reads the half that is not scored.</summary>
        public void Start(ReadOnlySpan<int> chunk)
        {
            _cache.Clear();
            model.Forward(chunk[..text.FirstScored], _cache, default, LogitPositions.None);
        }

        public void Score(ReadOnlySpan<int> chunk, int first, int count, int index, WorkerPool pool)
        {
            var logits = new Span<float>(_logits.Pointer, count * _vocabulary);
            model.Forward(chunk.Slice(first, count), _cache, logits, LogitPositions.All);
            Span<double> scored = Nll.AsSpan(index * text.Scored + first - text.FirstScored, count);
            fixed (int* next = chunk.Slice(first + 1, count))
            fixed (double* nll = scored)
            {
                var job = new ScoreJob { Side = this, Next = next, Nll = nll, Count = count };
                pool.Run(ref job);
            }
            for (int i = 0; i < count; i++)
                if (!double.IsFinite(scored[i]))
                    throw new UnusableInputException(
                        $"{name} gives logits that are no finite numbers at token {first + i + 1} of chunk {index + 1}; its weights are damaged, repair or download it again");
        }

        public void Dispose()
        {
            _cache.Dispose();
            _logits.Dispose();
        }
    }

    private struct ScoreJob : IParallelJob
    {
        public Side Side;
        public int* Next;
        public double* Nll;
        public int Count;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Count, worker, workers);
            for (int r = from; r < to; r++) Nll[r] = LogitStatistics.NegativeLogLikelihood(Side.Logits(r), Next[r]);
        }
    }

    private struct CompareJob : IParallelJob
    {
        public Side Model, Reference;
        public double* Divergences;
        public bool[] Agrees;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Agrees.Length, worker, workers);
            for (int r = from; r < to; r++)
            {
                Span<float> reference = Reference.Logits(r), model = Model.Logits(r);
                Divergences[r] = LogitStatistics.Divergence(reference, model);
                Agrees[r] = TensorPrimitives.IndexOfMax(reference) == TensorPrimitives.IndexOfMax(model);
            }
        }
    }
}
