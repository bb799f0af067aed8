using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Models.Decoder;

/// <summary>A buffer of floats that grows to the largest batch and is used again by every layer.</summary>
internal sealed unsafe class FloatBuffer : IDisposable
{
    private NativeBuffer _memory = new(0);

    /// <summary>Room for so many floats, their values unspecified.</summary>
    public float* Of(nint count)
    {
        nint bytes = count * sizeof(float);
        if (_memory.Length < bytes)
        {
            _memory.Dispose();
            _memory = new NativeBuffer(bytes, clear: false);
        }
        return (float*)_memory.Pointer;
    }

    public void Dispose() => _memory.Dispose();
}

/// <summary>Tokens of a batch that follow each other in one sequence.</summary>
/// <param name="Stored">The keys and values of each layer.</param>
/// <param name="First">The place of the first of them in the batch.</param>
/// <param name="Count">Tokens.</param>
/// <param name="Position">Of the first, in the sequence.</param>
/// <param name="Length">Of the whole text, of which these tokens may be the middle.</param>
internal readonly record struct Segment(KeyValueRows[] Stored, int First, int Count, int Position, int Length);

/// <summary>What the layers of a decoder share while a batch of tokens passes through them.</summary>
internal sealed unsafe class Workspace(WorkerPool pool) : IDisposable
{
    private Segment[] _segments = new Segment[1];
    private AttentionInput[] _attentionInputs = new AttentionInput[1];
    private int _sequences;

    public WorkerPool Pool { get; } = pool;

    /// <summary>Whether attention over many tokens may round to bfloat16 (<see cref="AttentionInput.MayRound"/>).</summary>
    public bool RoundsAttention { get; init; }

    /// <summary>Tokens of the batch.</summary>
    public int Tokens { get; private set; }

    public IProbe? Probe { get; private set; }

    /// <summary>The sequences that the batch is of, in the order of its tokens.</summary>
    public ReadOnlySpan<Segment> Segments => _segments.AsSpan(0, _sequences);

    /// <summary>One a segment, for the layer that runs.</summary>
    public Memory<AttentionInput> AttentionInputs => _attentionInputs.AsMemory(0, _sequences);

    /// <summary>Begins a batch of one sequence.</summary>
    public void Begin(Segment segment, IProbe? probe)
    {
        (_segments[0], _sequences, Tokens, Probe) = (segment, 1, segment.Count, probe);
    }

    /// <summary>Begins a batch of one token of each sequence, those that come next.</summary>
    public void Begin(ReadOnlySpan<KvCache> caches)
    {
        if (_segments.Length < caches.Length) (_segments, _attentionInputs) = (new Segment[caches.Length], new AttentionInput[caches.Length]);
        for (int s = 0; s < caches.Length; s++) _segments[s] = new Segment(caches[s].Layers, s, 1, caches[s].Length, caches[s].Length + 1);
        (_sequences, Tokens, Probe) = (caches.Length, caches.Length, null);
    }

    /// <summary>The residual stream: [tokens, hidden].</summary>
    public FloatBuffer Stream { get; } = new();

    /// <summary>The input of a block: normalized, [tokens, hidden].</summary>
    public Activation Input { get; } = new();

    /// <summary>What a block adds: [tokens, hidden].</summary>
    public FloatBuffer Added { get; } = new();

    /// <summary>What the second of two parallel blocks adds.</summary>
    public FloatBuffer AddedToo { get; } = new();

    public FloatBuffer Queries { get; } = new();
    public FloatBuffer Keys { get; } = new();
    public FloatBuffer Values { get; } = new();

    /// <summary>The output of attention, and the middle of a feed-forward block.</summary>
    public Activation Middle { get; } = new();

    public FloatBuffer Gate { get; } = new();
    public FloatBuffer Up { get; } = new();

    /// <summary>The rows of one head, or of the tokens that are sent to one expert.</summary>
    public Activation Gathered { get; } = new();

    /// <summary>What one head or one expert makes of them.</summary>
    public FloatBuffer Part { get; } = new();

    public Routing Routing { get; } = new();

    /// <summary>Says to the probe, if there is one, that linear layers are about to read this.</summary>
    public void Tell(Linear? linear, Activation x)
    {
        if (linear is not null) Probe?.LinearInput(linear.Name, x);
    }

    public void Dispose()
    {
        Stream.Dispose();
        Input.Dispose();
        Added.Dispose();
        AddedToo.Dispose();
        Queries.Dispose();
        Keys.Dispose();
        Values.Dispose();
        Middle.Dispose();
        Gate.Dispose();
        Up.Dispose();
        Gathered.Dispose();
        Part.Dispose();
    }
}
