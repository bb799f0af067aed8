using System.Numerics.Tensors;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>What attention computes over: the queries of a batch of tokens, and the keys and values stored for a layer.</summary>
public unsafe struct AttentionInput
{
    /// <summary>[heads, key size] a token, rotated to their positions; may be changed in place.</summary>
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
    /// <summary>
    /// Whether queries, keys, values and weights of many tokens may be rounded to bfloat16, where that is faster and keys and values are
    /// stored in F16; sums stay in float32.
    /// </summary>
    public bool MayRound;
    /// <summary>A score for each head that takes part in the softmax and brings no value; null for none.</summary>
    public float* Sinks;

    /// <summary>The positions that some tokens of the batch see, the first to the last of them; the end is exclusive.</summary>
    internal readonly (int From, int To) InSight(int first, int last)
    {
        int from = Window == 0 ? 0 : Math.Max(0, Position + first - Window + 1);
        if (Causal) return (from, Position + last + 1);
        int end = Position + Tokens;
        return (from, Window == 0 ? end : Math.Min(end, Position + last + Window));
    }
}

/// <summary>What belongs to a head of keys and to the queries and outputs of the heads that share it, around attention.</summary>
public interface IKeyHeadWork
{
    /// <summary>Makes queries, and stores the key and the value.</summary>
    void Before(int sequence, int keyHead);

    /// <summary>Takes the output.</summary>
    void After(int sequence, int keyHead);
}

/// <summary>
/// softmax(Q Kᵀ) V with the softmax kept as running maximum and sum over blocks of keys (Milakov and Gimelshein,
/// arXiv:1805.02867; Dao et al., arXiv:2205.14135), so that no matrix of all scores exists. Heads that share keys, and
/// tokens that follow each other, are computed as the rows of one tile, which reads each key once; tiles are dealt out to
/// the workers.
/// </summary>
public static unsafe partial class Attention
{
    /// <summary>Keys that are taken at once.</summary>
    internal const int KeyBlock = 64;

    private const int TileRows = 128;

    /// <summary>Rows up to which the lanes of a vector are numbers of a key; above, they are rows.</summary>
    private const int MostFewRows = 8;

    /// <summary>The widest key or value; a tile lies on the stack.</summary>
    public const int WidestHead = 4096;

    /// <summary>Computes attention of several sequences in one parallel region.</summary>
    /// <param name="inputs">One a sequence, at least one.</param>
    /// <param name="pool">The workers that share the tiles.</param>
    public static void Run(ReadOnlyMemory<AttentionInput> inputs, WorkerPool pool)
    {
        var job = new Job { Inputs = inputs };
        pool.Run(ref job);
    }

    /// <summary>Computes attention of sequences of one token each, and what else there is to do for each head of keys, in one parallel region.</summary>
    /// <param name="inputs">One a sequence, at least one; their rows have equally many heads.</param>
    /// <param name="pool">The workers that share the heads.</param>
    /// <param name="beside">What is done before and after each head.</param>
    public static void Run<TBeside>(ReadOnlyMemory<AttentionInput> inputs, WorkerPool pool, TBeside beside) where TBeside : struct, IKeyHeadWork
    {
        var job = new KeyHeadJob<TBeside> { Inputs = inputs, Beside = beside };
        pool.Run(ref job);
    }

    private struct KeyHeadJob<TBeside> : IParallelJob where TBeside : struct, IKeyHeadWork
    {
        public ReadOnlyMemory<AttentionInput> Inputs;
        public TBeside Beside;
        private int _taken;

        public void Run(int worker, int workers)
        {
            ReadOnlySpan<AttentionInput> inputs = Inputs.Span;
            int heads = inputs[0].Stored.Heads;
            for (int item; (item = Interlocked.Increment(ref _taken) - 1) < heads * inputs.Length;)
            {
                (int sequence, int head) = (item / heads, item % heads);
                Beside.Before(sequence, head);
                new Tiles(inputs[sequence]).RunKeyHead(head);
                Beside.After(sequence, head);
            }
        }
    }

    private struct Job : IParallelJob
    {
        public ReadOnlyMemory<AttentionInput> Inputs;
        private int _taken;

        public void Run(int worker, int workers)
        {
            ReadOnlySpan<AttentionInput> inputs = Inputs.Span;
            var tiles = new Tiles(inputs[0]);
            int input = 0, first = 0;
            while (true)
            {
                int item = Interlocked.Increment(ref _taken) - 1;
                for (; item >= first + tiles.Count; tiles = new Tiles(inputs[input]))
                {
                    first += tiles.Count;
                    if (++input == inputs.Length) return;
                }
                tiles.Run(item - first);
            }
        }
    }

    /// <summary>The tiles of one sequence: some heads that share a key, by some tokens.</summary>
    private readonly partial struct Tiles
    {
        private readonly AttentionInput _in;
        private readonly int _group, _heads, _tokens, _across, _down;

        /// <summary>The generated code for few rows, if there is any.</summary>
        private readonly WideAttention? _wide;

        public Tiles(in AttentionInput input)
        {
            _in = input;
            _group = input.Heads / input.Stored.Heads;
            _heads = Math.Min(_group, TileRows);
            _tokens = TileRows / _heads;
            _across = (_group + _heads - 1) / _heads;
            _down = (input.Tokens + _tokens - 1) / _tokens;
            _wide = WideAttention.For(input.Stored, input.ValueSize);
        }

        public int Count => _in.Stored.Heads * _across * _down;

        /// <summary>True if keys and values are read where they are stored.</summary>
        private bool InPlace => _in.Stored.KeyFormat == FloatFormat.F32;

        /// <summary>Keys that are taken at once; those that are decoded first must stay in the first cache.</summary>
        private int BlockKeys => InPlace ? KeyBlock : Math.Clamp((1 << 14) / _in.Stored.KeySize, 4, KeyBlock);

        /// <summary>All of a head of keys, of one token.</summary>
        public void RunKeyHead(int keyHead)
        {
            for (int i = 0; i < _across; i++) Run(keyHead * _across + i);
        }

        public void Run(int tile)
        {
            // The last tokens see most keys: they go first, so that no worker is left alone with a long tile.
            int width = _in.Stored.Heads * _across, token = (_down - 1 - tile / width) * _tokens;
            int keyHead = tile % width / _across, head = tile % _across * _heads;
            int heads = Math.Min(_heads, _group - head), tokens = Math.Min(_tokens, _in.Tokens - token);
            if (heads * tokens <= MostFewRows) RunFew(keyHead, keyHead * _group + head, heads, token, tokens);
            else RunMany(keyHead, keyHead * _group + head, heads, token, tokens);
        }

        private void Cap(Span<float> scores)
        {
            if (_in.SoftCap <= 0) return;
            TensorPrimitives.Multiply(scores, 1 / _in.SoftCap, scores);
            TensorPrimitives.Tanh(scores, scores);
            TensorPrimitives.Multiply(scores, _in.SoftCap, scores);
        }
    }
}
