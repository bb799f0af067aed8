namespace Nibble.Models.Sampling;

/// <summary>
/// Tokens from the largest logit down, as far as somebody asks: a heap is built in linear time, and top-k and top-p
/// take few of a large vocabulary. Equal logits come by index, so that the order is the same everywhere.
/// </summary>
internal sealed class TokenHeap(int capacity)
{
    private readonly ulong[] _keys = new ulong[capacity];   // order-preserving bits of the logit above the complement of the index
    private int _count;

    public void Fill(ReadOnlySpan<float> logits)
    {
        _count = 0;
        for (int i = 0; i < logits.Length; i++)
        {
            if (logits[i] > float.NegativeInfinity) _keys[_count++] = ((ulong)Ordered(logits[i]) << 32) | ~(uint)i;
        }
        for (int i = _count / 2 - 1; i >= 0; i--) Sink(i);
    }

    public bool TryPop(out int id)
    {
        if (_count == 0)
        {
            id = -1;
            return false;
        }
        id = (int)~(uint)_keys[0];
        _keys[0] = _keys[--_count];
        Sink(0);
        return true;
    }

    private void Sink(int i)
    {
        ulong key = _keys[i];
        for (int child = 2 * i + 1; child < _count; i = child, child = 2 * i + 1)
        {
            if (child + 1 < _count && _keys[child + 1] > _keys[child]) child++;
            if (_keys[child] <= key) break;
            _keys[i] = _keys[child];
        }
        if (_count > 0) _keys[i] = key;
    }

    /// <summary>Unsigned integers in the order of the floats: flip the sign bit of positives, all bits of negatives.</summary>
    private static uint Ordered(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value == 0 ? 0f : value);
        return (bits & 0x8000_0000) == 0 ? bits | 0x8000_0000 : ~bits;
    }
}
