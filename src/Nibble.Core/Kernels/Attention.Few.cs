using System.Numerics.Tensors;
using System.Runtime.Intrinsics;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Memory;
using static Nibble.Core.Kernels.Exponential;

namespace Nibble.Core.Kernels;

/// <summary>A tile of few rows: the lanes of a vector are numbers of a key or a value.</summary>
public static unsafe partial class Attention
{
    private readonly partial struct Tiles
    {
        private int FewBlockKeys => _wide is not null ? KeyBlock : BlockKeys;

        private void RunFew(int keyHead, int firstHead, int heads, int firstToken, int tokens)
        {
            FewRows rows = LoadQueries(firstHead, heads, firstToken, tokens);
            int lastToken = firstToken + tokens - 1;
            (int from, int to) = _in.InSight(firstToken, lastToken);
            for (int count; from < to; from += count)
            {
                int slot = from % _in.Stored.Slots;
                count = Math.Min(Math.Min(FewBlockKeys, to - from), _in.Stored.Slots - slot);
                int next = from + count == to ? slot : (from + count) % _in.Stored.Slots;
                float* keys = Score(rows, keyHead, slot, count, next);
                Cap(new Span<float>(rows.Scores, rows.Count * KeyBlock));
                if (from < _in.InSight(lastToken, lastToken).From || from + KeyBlock > _in.InSight(firstToken, firstToken).To || count < KeyBlock)
                    Hide(rows, heads, firstToken, from, count);
                Weigh(WideSoftmax.Instance, new WideSoftmax.Arguments { Scores = rows.Scores, Largest = rows.Largest, Total = rows.Total, Shrink = rows.Shrink, Rows = rows.Count });
                AddValues(rows, keyHead, slot, count, next, keys);
            }
            for (int r = 0; r < rows.Count; r++)
            {
                float* output = _in.Output + ((nint)(firstToken + r / heads) * _in.Heads + firstHead + r % heads) * _in.ValueSize;
                TensorPrimitives.Multiply(new ReadOnlySpan<float>(rows.Sums + r * _in.ValueSize, _in.ValueSize), 1 / rows.Total[r], new(output, _in.ValueSize));
                if (_in.Stored.Rotation > 0) Hadamard.Rotate(new Span<float>(output, _in.ValueSize), _in.Stored.Rotation);
            }
        }

        /// <summary>Queries with their scale. Sums begin with nothing.</summary>
        private FewRows LoadQueries(int firstHead, int heads, int firstToken, int tokens)
        {
            int count = tokens * heads, size = _in.Stored.KeySize, scratchSize = _wide is not null || InPlace ? 0 : BlockKeys * (size + _in.Stored.ValueSize);
            GrowingBuffer memory = t_memory ??= new GrowingBuffer();
            memory.Reserve((FewRows.Numbers(count, size, _in.ValueSize) + scratchSize) * sizeof(float));
            var rows = new FewRows((float*)memory.Pointer, count, size, _in.ValueSize);
            new Span<float>(rows.Sums, count * _in.ValueSize).Clear();
            for (int r = 0; r < count; r++)
            {
                int token = firstToken + r / heads, head = firstHead + r % heads;
                var query = new Span<float>(rows.Queries + r * size, size);
                TensorPrimitives.Multiply(new ReadOnlySpan<float>(_in.Queries + (nint)token * _in.QueryStride + head * size, size), _in.Scale, query);
                if (_in.Stored.Rotation > 0) Hadamard.Rotate(query, _in.Stored.Rotation);
                rows.Largest[r] = _in.Sinks is null ? float.MinValue : _in.Sinks[head];
                rows.Total[r] = _in.Sinks is null ? 0 : 1;
            }
            return rows;
        }

        /// <summary>Scores of a block of keys; returns them if they had to be decoded.</summary>
        private float* Score(FewRows rows, int keyHead, int slot, int count, int next)
        {
            if (_wide is not null)
            {
                _wide.Score(rows.Queries, _in.Stored.Key(keyHead, slot), _in.Stored.Key(keyHead, next), count, rows.Scores, rows.Count);
                return null;
            }
            _in.Stored.Ask(keyHead, slot, count);
            float* keys = _in.Stored.Keys(keyHead, slot, count, rows.Scratch);
            Scores(rows.Queries, rows.Count, keys, _in.Stored.KeySize, count, rows.Scores);
            return keys;
        }

        /// <summary>Scores of keys that a row does not see become minus infinity, and so do those behind the block.</summary>
        private void Hide(FewRows rows, int heads, int firstToken, int from, int count)
        {
            for (int r = 0; r < rows.Count; r++)
            {
                (int low, int high) = _in.InSight(firstToken + r / heads, firstToken + r / heads);
                (low, high) = (Math.Clamp(low - from, 0, count), Math.Clamp(high - from, 0, count));
                var scores = new Span<float>(rows.Scores + r * KeyBlock, KeyBlock);
                scores[..low].Fill(float.NegativeInfinity);
                scores[Math.Max(low, high)..].Fill(float.NegativeInfinity);
            }
        }

        /// <param name="keys">What <see cref="Score"/> returned.</param>
        private void AddValues(FewRows rows, int keyHead, int slot, int count, int next, float* keys)
        {
            bool inKeys = _in.Stored.ValueSize == 0;
            if (_wide is not null)
            {
                byte* from = inKeys ? _in.Stored.Key(keyHead, slot) : _in.Stored.Value(keyHead, slot);
                _wide.AddValues(rows.Scores, from, inKeys ? from : _in.Stored.Value(keyHead, next), count, rows.Shrink, rows.Sums, rows.Count);
                return;
            }
            for (int r = 0; r < rows.Count; r++)
            {
                var sums = new Span<float>(rows.Sums + r * _in.ValueSize, _in.ValueSize);
                if (rows.Shrink[r] != 1) TensorPrimitives.Multiply(sums, rows.Shrink[r], sums);
            }
            float* values = inKeys ? keys : _in.Stored.Values(keyHead, slot, count, rows.Scratch + BlockKeys * _in.Stored.KeySize);
            AddWeighted(rows.Scores, rows.Count, values, inKeys ? _in.Stored.KeySize : _in.ValueSize, _in.ValueSize, count, rows.Sums);
        }
    }

    /// <summary>Where the numbers of a few rows lie.</summary>
    private readonly struct FewRows(float* first, int count, int size, int width)
    {
        public int Count => count;

        /// <summary>[rows, keys of a block]; then weights.</summary>
        public float* Scores => first;

        /// <summary>[rows, key size].</summary>
        public float* Queries => Scores + count * KeyBlock;

        /// <summary>[rows, value size].</summary>
        public float* Sums => Queries + count * size;

        public float* Largest => Sums + count * width;

        public float* Total => Largest + count;

        /// <summary>What sums must be multiplied with before more is added.</summary>
        public float* Shrink => Total + count;

        /// <summary>Room for a block of keys and values, where they are decoded.</summary>
        public float* Scratch => Shrink + count;

        public static nint Numbers(int count, int size, int width) => (nint)count * (KeyBlock + size + width + 3);
    }

    /// <summary>
    /// Turns scores of a block of keys into weights relative to each row's largest so far. If a larger one has come, what was summed
    /// before must shrink accordingly.
    /// </summary>
    /// <param name="wide">The generated code, if there is any.</param>
    internal static void Weigh(WideSoftmax? wide, WideSoftmax.Arguments rows)
    {
        if (wide is not null)
        {
            wide.Weigh(ref rows);
            return;
        }
        for (int r = 0; r < rows.Rows; r++) WeighRow(rows.Scores + r * KeyBlock, ref rows.Largest[r], ref rows.Total[r], out rows.Shrink[r]);
    }

    private static void WeighRow(float* scores, ref float largest, ref float total, out float shrink)
    {
        Vector256<float> lanes = Vector256.Create(largest), sum = default;
        for (int j = 0; j < KeyBlock; j += Vector256<float>.Count) lanes = Vector256.Max(lanes, Vector256.Load(scores + j));
        var most = Vector256.Create(Formats.Lanes.Largest(lanes));
        for (int j = 0; j < KeyBlock; j += Vector256<float>.Count)
        {
            Vector256<float> weights = Exp(Vector256.Load(scores + j) - most);
            weights.Store(scores + j);
            sum += weights;
        }
        shrink = Exp(Vector256.Create(largest) - most).ToScalar();
        largest = most.ToScalar();
        total = total * shrink + Vector256.Sum(sum);
    }
}
