namespace Nibble.Models.Sampling;

/// <summary>The distinct tokens among the last few, for the repetition penalty: a ring and a count for each token.</summary>
internal sealed class RecentTokens(int window, int vocabularySize)
{
    private readonly int[] _ring = new int[window];
    private readonly int[] _counts = new int[vocabularySize];
    private int _length, _next;

    public void Add(int id)
    {
        if (_ring.Length == 0) return;
        if (_length == _ring.Length) _counts[_ring[_next]]--;
        else _length++;
        _ring[_next] = id;
        _counts[id]++;
        _next = (_next + 1) % _ring.Length;
    }

    /// <summary>Applies the penalty, in place, once to each distinct recent token.</summary>
    public void Penalize(Span<float> logits, float penalty)
    {
        for (int i = 0; i < _length; i++)
        {
            int id = _ring[i];
            if (_counts[id] < 0) continue;               // already done for an earlier occurrence
            logits[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
            _counts[id] = -_counts[id];
        }
        for (int i = 0; i < _length; i++) _counts[_ring[i]] = Math.Abs(_counts[_ring[i]]);
    }
}
