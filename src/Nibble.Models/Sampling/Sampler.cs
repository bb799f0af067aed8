using Nibble.Core;

namespace Nibble.Models.Sampling;

/// <summary>Draws tokens from logits. Keeps its random state and the recent tokens, so one sampler serves one text.</summary>
public sealed class Sampler
{
    private readonly SamplingOptions _options;
    private readonly RecentTokens? _recent;
    private readonly float[] _logits;
    private readonly TokenHeap _heap;
    private readonly int[] _kept;
    private readonly double[] _weights;
    private Xoshiro256 _random;

    /// <param name="options">Validated here.</param>
    /// <param name="vocabularySize">The number of logits that <see cref="Next"/> will get.</param>
    /// <exception cref="UnusableInputException">An option is outside its range.</exception>
    public Sampler(SamplingOptions options, int vocabularySize)
    {
        ArgumentNullException.ThrowIfNull(options);
        options.Validate();
        _options = options;
        _random = new Xoshiro256(options.Seed);
        _logits = new float[vocabularySize];
        _kept = new int[vocabularySize];
        _weights = new double[vocabularySize];
        _heap = new TokenHeap(vocabularySize);
        if (options.RepetitionPenalty != 1) _recent = new RecentTokens(options.RepetitionWindow, vocabularySize);
    }

    /// <summary>Tells the repetition penalty of a token that was not drawn here: the prompt's.</summary>
    public void Observe(int id) => _recent?.Add(id);

    /// <summary>Draws the next token and remembers it. Allocates nothing.</summary>
    /// <param name="logits">One for each token of the vocabulary.</param>
    /// <exception cref="ArgumentException">There are more or fewer.</exception>
    /// <exception cref="UnusableInputException">No logit is a finite number.</exception>
    public int Next(ReadOnlySpan<float> logits)
    {
        if (logits.Length != _logits.Length) throw new ArgumentException($"there must be {_logits.Length} logits, not {logits.Length}", nameof(logits));
        logits.CopyTo(_logits);
        _recent?.Penalize(_logits, (float)_options.RepetitionPenalty);
        int best = Largest(_logits);
        int id = _options.Temperature == 0 ? best : Draw(Keep(best), best);
        _recent?.Add(id);
        return id;
    }

    /// <summary>The index of the largest logit, the first of equals; NaN never wins.</summary>
    private static int Largest(ReadOnlySpan<float> logits)
    {
        int best = -1;
        float largest = float.NegativeInfinity;
        for (int i = 0; i < logits.Length; i++)
        {
            if (logits[i] > largest) (largest, best) = (logits[i], i);
        }
        if (best < 0 || float.IsPositiveInfinity(largest))
            throw new UnusableInputException("the model's logits hold no largest finite number: its weights or its quantization are broken");
        return best;
    }

    /// <summary>Fills <see cref="_kept"/> with the tokens that survive top-k, top-p and min-p, and returns their number.</summary>
    private int Keep(int best)
    {
        double floor = _options.MinP > 0 ? _options.MinP : 0;
        if (_options.TopK == 0 && _options.TopP == 1) return KeepAbove(floor, best);
        _heap.Fill(_logits);
        int limit = _options.TopK == 0 ? _logits.Length : Math.Min(_options.TopK, _logits.Length);
        // Top-p counts the probability of what top-k left, as llama.cpp does; without top-k that is everything.
        int taken = 0;
        double total = 0;
        if (_options.TopK > 0)
        {
            while (taken < limit && _heap.TryPop(out _kept[taken])) total += Relative(_kept[taken++], best);
            limit = taken;
        }
        else
        {
            foreach (float logit in _logits) total += logit > float.NegativeInfinity ? Exponential.Of((double)logit - _logits[best]) : 0;
        }
        double mass = 0;
        int kept = 0;
        while (kept < limit && (kept < taken || _heap.TryPop(out _kept[kept])))
        {
            double weight = Relative(_kept[kept], best);
            if (weight < floor) break;
            kept++;
            mass += weight;
            if (_options.TopP < 1 && mass >= _options.TopP * total) break;
        }
        return kept;
    }

    /// <summary>Without top-k and top-p no order is needed.</summary>
    private int KeepAbove(double floor, int best)
    {
        int kept = 0;
        for (int id = 0; id < _logits.Length; id++)
        {
            if (_logits[id] > float.NegativeInfinity && (floor == 0 || Relative(id, best) >= floor)) _kept[kept++] = id;
        }
        return kept;
    }

    private int Draw(int kept, int best)
    {
        double total = 0;
        for (int i = 0; i < kept; i++)
        {
            _weights[i] = Exponential.Of(((double)_logits[_kept[i]] - _logits[best]) / _options.Temperature);
            total += _weights[i];
        }
        double left = _random.NextDouble() * total;
        for (int i = 0; i < kept - 1; i++)
        {
            left -= _weights[i];
            if (left < 0) return _kept[i];
        }
        return _kept[kept - 1];
    }

    /// <summary>How probable a token is compared with the most probable one.</summary>
    private double Relative(int id, int best) => Exponential.Of((double)_logits[id] - _logits[best]);
}
