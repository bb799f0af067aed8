using System.Numerics;
using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>What attention computes over: the queries of a batch of tokens, and the keys and values stored for a layer.</summary>
public unsafe struct AttentionInput
{
    /// <summary>[heads, key size] a token, rotated.</summary>
    public float* Queries;
    /// <summary>Floats from one token's queries to the next's.</summary>
    public int QueryStride;
    /// <summary>[tokens, heads, value size], overwritten.</summary>
    public float* Output;
    /// <summary>The stored rows, those of these tokens among them.</summary>
    public KeyValueRows Stored;
    public int Tokens;
    public int Heads;
    /// <summary>The width of a value; where the values are in the keys, the part of the key that is value.</summary>
    public int ValueSize;
    /// <summary>The position of the first token.</summary>
    public int Position;
    /// <summary>A query sees the keys from its position - Window + 1 on; 0 is no limit.</summary>
    public int Window;
    /// <summary>False for encoders: a query also sees what comes after it, up to its position + Window - 1.</summary>
    public bool Causal;
    /// <summary>Multiplies the products of queries and keys.</summary>
    public float Scale;
    /// <summary>c tanh(s / c) bounds the scores; 0 is none.</summary>
    public float SoftCap;
    /// <summary>A score for each head that takes part in the softmax and brings no value; null for none.</summary>
    public float* Sinks;
}

/// <summary>
/// softmax(Q Kᵀ) V with the softmax kept as running maximum and sum over blocks of keys (Milakov and Gimelshein,
/// arXiv:1805.02867; Dao et al., arXiv:2205.14135), so that no matrix of all scores exists. The heads that share keys are
/// computed together; work is shared by head and block of queries.
/// </summary>
public static unsafe class Attention
{
    private const int KeyBlock = 64;
    private const int QueryRows = 16;

    public static void Run(in AttentionInput input, WorkerPool pool)
    {
        int group = input.Heads / input.Stored.Heads;
        var job = new Job { In = input, Group = group, QueryBlock = Math.Max(1, QueryRows / group) };
        job.QueryBlocks = (input.Tokens + job.QueryBlock - 1) / job.QueryBlock;
        pool.Run(ref job);
    }

    private struct Job : IParallelJob
    {
        public AttentionInput In;
        public int Group;
        public int QueryBlock;
        public int QueryBlocks;
        private int _taken;

        public void Run(int worker, int workers)
        {
            int items = QueryBlocks * In.Stored.Heads;
            // The last blocks see most keys: they go first, so that no worker is left alone with one.
            for (int item; (item = Interlocked.Increment(ref _taken) - 1) < items;)
            {
                int block = QueryBlocks - 1 - item / In.Stored.Heads;
                int first = block * QueryBlock;
                Block(item % In.Stored.Heads, first, Math.Min(QueryBlock, In.Tokens - first));
            }
        }

        [SkipLocalsInit]
        private readonly void Block(int keyHead, int firstToken, int tokens)
        {
            int rows = tokens * Group, first = In.Position + firstToken;
            (int from, int to) = Span(first, first + tokens - 1);
            float* sums = stackalloc float[rows * In.ValueSize];
            float* largest = stackalloc float[rows];
            float* total = stackalloc float[rows];
            bool inPlace = In.Stored.KeyFormat == Formats.FloatFormat.F32;
            float* keyScratch = stackalloc float[inPlace ? 1 : KeyBlock * In.Stored.KeySize];
            float* valueScratch = stackalloc float[inPlace ? 1 : KeyBlock * In.Stored.ValueSize];
            new Span<float>(sums, rows * In.ValueSize).Clear();
            for (int r = 0; r < rows; r++)
            {
                largest[r] = In.Sinks is null ? float.NegativeInfinity : In.Sinks[keyHead * Group + r % Group];
                total[r] = In.Sinks is null ? 0 : 1;
            }
            while (from < to)
            {
                int slot = from % In.Stored.Slots;
                int count = Math.Min(Math.Min(KeyBlock, to - from), In.Stored.Slots - slot);
                float* keys = In.Stored.Keys(keyHead, slot, count, keyScratch);
                bool inKeys = In.Stored.ValueSize == 0;
                float* values = inKeys ? keys : In.Stored.Values(keyHead, slot, count, valueScratch);
                for (int r = 0; r < rows; r++)
                {
                    (int low, int high) = Span(first + r / Group, first + r / Group);
                    (low, high) = (Math.Max(low, from), Math.Min(high, from + count));
                    if (low >= high) continue;
                    Accumulate(Query(keyHead, firstToken, r), keys + (nint)(low - from) * In.Stored.KeySize,
                        values + (nint)(low - from) * (inKeys ? In.Stored.KeySize : In.ValueSize), inKeys ? In.Stored.KeySize : In.ValueSize,
                        high - low, ref largest[r], ref total[r], sums + r * In.ValueSize);
                }
                from += count;
            }
            for (int r = 0; r < rows; r++)
                TensorPrimitives.Multiply(new ReadOnlySpan<float>(sums + r * In.ValueSize, In.ValueSize), 1 / total[r], Row(keyHead, firstToken, r));
        }

        /// <summary>The positions that the queries from one position to another see together; the end is exclusive.</summary>
        private readonly (int From, int To) Span(int first, int last)
        {
            int from = In.Window == 0 ? 0 : Math.Max(0, first - In.Window + 1);
            int end = In.Position + In.Tokens;
            if (In.Causal) return (from, last + 1);
            return (from, In.Window == 0 ? end : Math.Min(end, last + In.Window));
        }

        /// <summary>Row r of a block: token r / group, head r % group of those that share the keys.</summary>
        private readonly float* Query(int keyHead, int firstToken, int r) =>
            In.Queries + (nint)(firstToken + r / Group) * In.QueryStride + (keyHead * Group + r % Group) * In.Stored.KeySize;

        private readonly Span<float> Row(int keyHead, int firstToken, int r) =>
            new(In.Output + ((nint)(firstToken + r / Group) * In.Heads + keyHead * Group + r % Group) * In.ValueSize, In.ValueSize);

        [SkipLocalsInit]
        private readonly void Accumulate(float* query, float* keys, float* values, int valueStride, int count,
            ref float largest, ref float total, float* sums)
        {
            float* buffer = stackalloc float[KeyBlock];
            var scores = new Span<float>(buffer, count);
            Scores(query, keys, In.Stored.KeySize, count, buffer);
            TensorPrimitives.Multiply(scores, In.Scale, scores);
            if (In.SoftCap > 0)
            {
                TensorPrimitives.Multiply(scores, 1 / In.SoftCap, scores);
                TensorPrimitives.Tanh(scores, scores);
                TensorPrimitives.Multiply(scores, In.SoftCap, scores);
            }
            float max = TensorPrimitives.Max(scores);
            if (max > largest)
            {
                float shrink = MathF.Exp(largest - max);
                total *= shrink;
                var row = new Span<float>(sums, In.ValueSize);
                TensorPrimitives.Multiply(row, shrink, row);
                largest = max;
            }
            TensorPrimitives.Subtract(scores, largest, scores);
            TensorPrimitives.Exp(scores, scores);
            total += TensorPrimitives.Sum(scores);
            AddScaled(buffer, values, valueStride, In.ValueSize, count, sums);
        }
    }

    /// <summary>scores[j] = query · keys[j], four keys at a time so that four chains of additions overlap.</summary>
    private static void Scores(float* query, float* keys, int size, int count, float* scores)
    {
        int j = 0, whole = size - size % Vector<float>.Count;
        for (; j <= count - 4; j += 4)
        {
            float* k0 = keys + (nint)j * size, k1 = k0 + size, k2 = k1 + size, k3 = k2 + size;
            Vector<float> a0 = default, a1 = default, a2 = default, a3 = default;
            int i = 0;
            for (; i < whole; i += Vector<float>.Count)
            {
                Vector<float> q = Vector.Load(query + i);
                a0 = Vector.MultiplyAddEstimate(q, Vector.Load(k0 + i), a0);
                a1 = Vector.MultiplyAddEstimate(q, Vector.Load(k1 + i), a1);
                a2 = Vector.MultiplyAddEstimate(q, Vector.Load(k2 + i), a2);
                a3 = Vector.MultiplyAddEstimate(q, Vector.Load(k3 + i), a3);
            }
            (scores[j], scores[j + 1], scores[j + 2], scores[j + 3]) = (Vector.Sum(a0), Vector.Sum(a1), Vector.Sum(a2), Vector.Sum(a3));
            for (; i < size; i++)
            {
                scores[j] += query[i] * k0[i];
                scores[j + 1] += query[i] * k1[i];
                scores[j + 2] += query[i] * k2[i];
                scores[j + 3] += query[i] * k3[i];
            }
        }
        for (; j < count; j++)
            scores[j] = TensorPrimitives.Dot(new ReadOnlySpan<float>(query, size), new ReadOnlySpan<float>(keys + (nint)j * size, size));
    }

    /// <summary>sums += Σ weights[j] values[j]; four vectors of sums stay in registers over all j.</summary>
    private static void AddScaled(float* weights, float* values, int stride, int size, int count, float* sums)
    {
        int lanes = Vector<float>.Count, i = 0;
        for (; i <= size - 4 * lanes; i += 4 * lanes)
        {
            Vector<float> a0 = Vector.Load(sums + i), a1 = Vector.Load(sums + i + lanes);
            Vector<float> a2 = Vector.Load(sums + i + 2 * lanes), a3 = Vector.Load(sums + i + 3 * lanes);
            float* v = values + i;
            for (int j = 0; j < count; j++, v += stride)
            {
                var w = new Vector<float>(weights[j]);
                a0 = Vector.MultiplyAddEstimate(w, Vector.Load(v), a0);
                a1 = Vector.MultiplyAddEstimate(w, Vector.Load(v + lanes), a1);
                a2 = Vector.MultiplyAddEstimate(w, Vector.Load(v + 2 * lanes), a2);
                a3 = Vector.MultiplyAddEstimate(w, Vector.Load(v + 3 * lanes), a3);
            }
            Vector.Store(a0, sums + i);
            Vector.Store(a1, sums + i + lanes);
            Vector.Store(a2, sums + i + 2 * lanes);
            Vector.Store(a3, sums + i + 3 * lanes);
        }
        for (; i <= size - lanes; i += lanes)
        {
            Vector<float> a = Vector.Load(sums + i);
            for (int j = 0; j < count; j++)
                a = Vector.MultiplyAddEstimate(new Vector<float>(weights[j]), Vector.Load(values + (nint)j * stride + i), a);
            Vector.Store(a, sums + i);
        }
        for (; i < size; i++)
            for (int j = 0; j < count; j++) sums[i] += weights[j] * values[(nint)j * stride + i];
    }
}
