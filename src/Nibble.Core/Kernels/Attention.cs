using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using Nibble.Core.Formats;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>What attention computes over: the queries of a batch of tokens, and the keys and values stored for a layer.</summary>
public unsafe struct AttentionInput
{
    /// <summary>[heads, key size] a token, rotated to their positions; changed in place where the stored rows are rotated too.</summary>
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
/// arXiv:1805.02867; Dao et al., arXiv:2205.14135), so that no matrix of all scores exists. Heads that share keys, and
/// tokens that follow each other, are computed as the rows of one tile, which reads each key once; tiles are dealt out to
/// the workers.
/// </summary>
public static unsafe partial class Attention
{
    private const int KeyBlock = 64;
    private const int TileRows = 16;

    /// <summary>The widest key or value; a tile lies on the stack.</summary>
    public const int WidestHead = 4096;

    public static void Run(in AttentionInput input, WorkerPool pool)
    {
        int group = input.Heads / input.Stored.Heads;
        var job = new Job { In = input, Group = group, TileHeads = Math.Min(group, TileRows) };
        job.TileTokens = Math.Max(1, TileRows / job.TileHeads);
        job.HeadTiles = (group + job.TileHeads - 1) / job.TileHeads;
        job.TokenTiles = (input.Tokens + job.TileTokens - 1) / job.TileTokens;
        pool.Run(ref job);
    }

    private struct Job : IParallelJob
    {
        public AttentionInput In;
        public int Group, TileHeads, TileTokens, HeadTiles, TokenTiles;
        private int _taken;

        public void Run(int worker, int workers)
        {
            int across = In.Stored.Heads * HeadTiles;
            // The last tokens see most keys: they go first, so that no worker is left alone with a long tile.
            for (int item; (item = Interlocked.Increment(ref _taken) - 1) < across * TokenTiles;)
            {
                int token = (TokenTiles - 1 - item / across) * TileTokens, keyHead = item % across / HeadTiles;
                int head = item % HeadTiles * TileHeads;
                RunTile(keyHead, keyHead * Group + head, Math.Min(TileHeads, Group - head), token, Math.Min(TileTokens, In.Tokens - token));
            }
        }

        [SkipLocalsInit]
        private readonly void RunTile(int keyHead, int firstHead, int heads, int firstToken, int tokens)
        {
            int rows = tokens * heads;
            float** queries = stackalloc float*[rows];
            float* largest = stackalloc float[rows], total = stackalloc float[rows];
            float* scores = stackalloc float[rows * KeyBlock], sums = stackalloc float[rows * In.ValueSize];
            bool inPlace = In.Stored.KeyFormat == FloatFormat.F32, valuesInKeys = In.Stored.ValueSize == 0;
            int block = inPlace ? KeyBlock : Math.Clamp((1 << 14) / In.Stored.KeySize, 4, KeyBlock);
            float* keyScratch = stackalloc float[inPlace ? 1 : block * In.Stored.KeySize];
            float* valueScratch = stackalloc float[inPlace ? 1 : block * In.Stored.ValueSize];
            new Span<float>(sums, rows * In.ValueSize).Clear();
            for (int r = 0; r < rows; r++)
            {
                (int token, int head) = (firstToken + r / heads, firstHead + r % heads);
                queries[r] = In.Queries + (nint)token * In.QueryStride + head * In.Stored.KeySize;
                if (In.Stored.Rotation > 0) Hadamard.Rotate(new Span<float>(queries[r], In.Stored.KeySize), In.Stored.Rotation);
                largest[r] = In.Sinks is null ? float.NegativeInfinity : In.Sinks[head];
                total[r] = In.Sinks is null ? 0 : 1;
            }
            (int from, int to) = InSight(firstToken, firstToken + tokens - 1);
            while (from < to)
            {
                int slot = from % In.Stored.Slots, count = Math.Min(Math.Min(block, to - from), In.Stored.Slots - slot);
                float* keys = In.Stored.Keys(keyHead, slot, count, keyScratch);
                float* values = valuesInKeys ? keys : In.Stored.Values(keyHead, slot, count, valueScratch);
                Scores(queries, rows, keys, In.Stored.KeySize, count, scores);
                for (int r = 0; r < rows; r++)
                {
                    (int low, int high) = InSight(firstToken + r / heads, firstToken + r / heads);
                    Weigh(new(scores + r * KeyBlock, count), Math.Clamp(low - from, 0, count), Math.Clamp(high - from, 0, count),
                        ref largest[r], ref total[r], new(sums + r * In.ValueSize, In.ValueSize));
                }
                AddWeighted(scores, rows, values, valuesInKeys ? In.Stored.KeySize : In.ValueSize, In.ValueSize, count, sums);
                from += count;
            }
            for (int r = 0; r < rows; r++)
            {
                float* output = In.Output + ((nint)(firstToken + r / heads) * In.Heads + firstHead + r % heads) * In.ValueSize;
                TensorPrimitives.Multiply(new ReadOnlySpan<float>(sums + r * In.ValueSize, In.ValueSize), 1 / total[r], new(output, In.ValueSize));
                if (In.Stored.Rotation > 0) Hadamard.Rotate(new Span<float>(output, In.ValueSize), In.Stored.Rotation);
            }
        }

        /// <summary>The positions that some tokens of the batch see, the first to the last of them; the end is exclusive.</summary>
        private readonly (int From, int To) InSight(int first, int last)
        {
            int from = In.Window == 0 ? 0 : Math.Max(0, In.Position + first - In.Window + 1);
            if (In.Causal) return (from, In.Position + last + 1);
            int end = In.Position + In.Tokens;
            return (from, In.Window == 0 ? end : Math.Min(end, In.Position + last + In.Window));
        }

        /// <summary>
        /// Turns a row's products with a block of keys into weights relative to its largest score so far; what is not in
        /// sight weighs nothing. If a larger score has come, what was summed before shrinks accordingly.
        /// </summary>
        private readonly void Weigh(Span<float> scores, int low, int high, ref float largest, ref float total, Span<float> sums)
        {
            scores[..low].Clear();
            scores[Math.Max(low, high)..].Clear();
            if (low >= high) return;
            scores = scores[low..high];
            TensorPrimitives.Multiply(scores, In.Scale, scores);
            if (In.SoftCap > 0)
            {
                TensorPrimitives.Multiply(scores, 1 / In.SoftCap, scores);
                TensorPrimitives.Tanh(scores, scores);
                TensorPrimitives.Multiply(scores, In.SoftCap, scores);
            }
            float max = TensorPrimitives.Max<float>(scores);
            if (max > largest)
            {
                float shrink = MathF.Exp(largest - max);
                total *= shrink;
                TensorPrimitives.Multiply(sums, shrink, sums);
                largest = max;
            }
            TensorPrimitives.Subtract(scores, largest, scores);
            TensorPrimitives.Exp<float>(scores, scores);
            total += TensorPrimitives.Sum<float>(scores);
        }
    }
}
