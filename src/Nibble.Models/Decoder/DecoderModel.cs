using System.Numerics.Tensors;
using Nibble.Core;
using Nibble.Core.Kernels;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Models.Decoder;

/// <summary>
/// The forward pass: tokens to logits, for every architecture, driven by its <see cref="ModelConfig"/>. Activations are
/// float32; working memory is taken once and used for every batch. For one thread at a time: whoever calls while another is
/// computing gets an <see cref="InvalidOperationException"/>.
/// </summary>
public sealed unsafe partial class DecoderModel : IDisposable
{
    private readonly DecoderOptions _options;
    private readonly Workspace _work;
    private readonly Weight? _positions;
    private readonly float[] _tokenType;
    private readonly Norm? _embeddingNorm, _outputNorm;
    private readonly DecoderLayer[] _layers;
    private readonly RotaryTable[] _rotaries;
    private readonly Linear? _head;
    private readonly Dictionary<string, Norm> _norms;
    private readonly FloatPacking? _floats;
    private bool _warned;
    private Turn _turn;

    /// <param name="source">May be disposed before the decoder, which keeps its weights mapped.</param>
    /// <param name="pool">May serve other decoders too, while this one does not compute.</param>
    /// <exception cref="ArgumentOutOfRangeException">A batch shall have less than one token.</exception>
    /// <exception cref="UnusableInputException">A weight cannot be used.</exception>
    public DecoderModel(ModelSource source, WorkerPool pool, DecoderOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(source);
        ArgumentNullException.ThrowIfNull(pool);
        _options = options ?? new DecoderOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.BatchSize, 1, nameof(options));
        _work = new Workspace(pool) { RoundsAttention = _options.RoundsAttention };
        Config = source.Config;
        var parts = new LayerParts(source);
        Embedding = source.Tensors["token_embd.weight"].Load();
        _positions = source.Tensors.GetValueOrDefault("position_embd.weight")?.Load();
        _tokenType = FirstTokenType(source);
        _embeddingNorm = parts.Norm("token_embd_norm");
        _rotaries = [.. Config.Layers.Select(l => l.Rotary).OfType<RotaryConfig>().Distinct().Select(r => new RotaryTable(r))];
        _layers = [.. Config.Layers.Select((layer, l) => new DecoderLayer(parts, l, _rotaries.FirstOrDefault(r => r.Config == layer.Rotary)))];
        _outputNorm = parts.Norm("output_norm");
        if (Config.Causal) _head = Config.TiedHead ? new Linear("output", Embedding, []) : parts.Linear("output");
        Linears = parts.Linears;
        _head?.Next = Linears[0];
        if (_head is not null && Linears[^1] != _head) Linears[^1].Next = _head;
        _norms = parts.Norms;
        if (_options.InputRounding is { IsStatic: false } rounding) RoundInputs(_ => rounding);
        else if (_options is { InputRounding: null, Fast: true }) RoundInputs(linear => InputRounding.Fastest(linear.Weight));
        if (_options.Fast) _floats = new FloatPacking(LinearsAndHead);
    }

    /// <summary>The model's sizes and choices: <see cref="ModelConfig.Vocabulary"/> is the number of logits a token.</summary>
    public ModelConfig Config { get; }

    /// <summary>[vocabulary, hidden]; where it is the head too, the head has it as its own weight.</summary>
    public Weight Embedding { get; private set; }

    /// <summary>Puts another embedding of the same shape in place of this one; a head that shares it keeps the old.</summary>
    /// <exception cref="ArgumentException">It has another shape.</exception>
    public void ReplaceEmbedding(Weight weight)
    {
        if (weight.Rows != Embedding.Rows || weight.Columns != Embedding.Columns)
            throw new ArgumentException($"the embedding is [{Embedding.Rows}, {Embedding.Columns}], not [{weight.Rows}, {weight.Columns}]", nameof(weight));
        Embedding = weight;
    }

    /// <summary>
    /// Every linear layer, in the order they run; a head tied to the embedding is not among them, for it is quantized as
    /// the embedding.
    /// </summary>
    public IReadOnlyList<Linear> Linears { get; }

    /// <summary>All linear layers, and the head (<c>output</c>) where it shares its weight with the embedding.</summary>
    public IEnumerable<Linear> LinearsAndHead => _head is null || Linears.Contains(_head) ? Linears : Linears.Append(_head);

    /// <summary>
    /// Sets how inputs are rounded, for every linear layer and the head; not for the routers of experts, which small errors
    /// would make choose others.
    /// </summary>
    public void RoundInputs(Func<Linear, InputRounding?> rounding)
    {
        foreach (Linear linear in Linears)
            if (!linear.Name.EndsWith("ffn_gate_inp", StringComparison.Ordinal)) linear.InputRounding = rounding(linear);
        if (_head is not null) _head.InputRounding = rounding(_head);
    }

    /// <summary>
    /// Does at once what a fast decoder does bit by bit when a text gets long: weights of 16 bits are packed in 12 where their
    /// numbers allow it, exactly (<see cref="FloatTiles"/>).
    /// </summary>
    /// <exception cref="InvalidOperationException">Another thread computes with the decoder.</exception>
    /// <exception cref="ObjectDisposedException">The decoder was disposed.</exception>
    public void PackFloats()
    {
        _turn.Take(this);
        try
        {
            _floats?.PackAll(_work.Pool);
        }
        finally
        {
            GiveBack();
        }
    }

    /// <summary>An empty cache for at most so many tokens; <see cref="KvCache.Bytes"/> says what memory that takes.</summary>
    /// <exception cref="ArgumentOutOfRangeException">Less than one.</exception>
    /// <exception cref="UnusableInputException">The format of the cache does not divide a head.</exception>
    public KvCache NewCache(int capacity) => new(this, capacity, _options);

    /// <summary>What the <see cref="KvCache.Bytes"/> of a cache for so many tokens would be.</summary>
    /// <exception cref="UnusableInputException">The format of the cache does not divide a head.</exception>
    public long CacheBytes(int capacity) => KvCache.BytesOf(capacity, Config, _options);

    /// <summary>Appends tokens to the cache and computes logits. Whatever is thrown, the cache holds whole batches of them.</summary>
    /// <param name="tokens">At least one.</param>
    /// <param name="cache">One that this decoder made.</param>
    /// <param name="logits">[vocabulary] for the last token, [tokens, vocabulary] for all, empty for none.</param>
    /// <param name="which">The tokens whose logits are wanted.</param>
    /// <param name="probe">Shown what the layers read and make.</param>
    /// <exception cref="UnusableInputException">A token is not in the vocabulary, or the model has no positions for so long a text.</exception>
    /// <exception cref="ArgumentException">There is no token, the cache is full or another decoder's, or the logits are too short.</exception>
    /// <exception cref="InvalidOperationException">The model is an encoder, or another thread computes with it or the cache.</exception>
    /// <exception cref="ObjectDisposedException">The decoder or the cache was disposed.</exception>
    public void Forward(ReadOnlySpan<int> tokens, KvCache cache, Span<float> logits, LogitPositions which, IProbe? probe = null) =>
        ForwardBatches(tokens, cache, logits, which, probe, CancellationToken.None);

    /// <summary>The same, for a prompt that somebody may not want to wait for.</summary>
    /// <param name="cancellation">Looked at before every batch of <see cref="DecoderOptions.BatchSize"/> tokens.</param>
    internal void ForwardBatches(
        ReadOnlySpan<int> tokens, KvCache cache, Span<float> logits, LogitPositions which, IProbe? probe, CancellationToken cancellation)
    {
        Take(cache);
        try
        {
            Continue(tokens, cache, logits, which, probe, cancellation);
        }
        finally
        {
            GiveBack(cache);
        }
    }

    private void Continue(
        ReadOnlySpan<int> tokens, KvCache cache, Span<float> logits, LogitPositions which, IProbe? probe, CancellationToken cancellation)
    {
        Check(tokens, cache);
        int wanted = which switch { LogitPositions.None => 0, LogitPositions.Last => 1, _ => tokens.Length };
        if (_head is null && wanted > 0) throw new InvalidOperationException($"{Config.Architecture} is an encoder and has no logits");
        CheckLogits(logits, wanted);
        int length = cache.Length + tokens.Length;
        if (Switches(cache, length)) Repeat(cache, length);
        int batchSize = Config.Causal ? _options.BatchSize : tokens.Length;
        for (int start = 0; start < tokens.Length; start += batchSize)
        {
            cancellation.ThrowIfCancellationRequested();
            int count = Math.Min(batchSize, tokens.Length - start);
            RunLayers(tokens.Slice(start, count), length, cache, probe);
            if (which == LogitPositions.All)
                Head(0, count, logits.Slice(start * Config.Vocabulary, count * Config.Vocabulary), probe);
            else if (which == LogitPositions.Last && start + count == tokens.Length)
                Head(count - 1, 1, logits[..Config.Vocabulary], probe);
        }
        if (tokens.Length == 1) _floats?.PackSome(_work.Pool);
    }

    /// <summary>The last hidden states of a text by itself, normalized: what an encoder is for.</summary>
    /// <param name="tokens">At least one.</param>
    /// <param name="states">[tokens, hidden], overwritten.</param>
    /// <param name="probe">Shown what the layers read and make.</param>
    /// <exception cref="UnusableInputException">A token is not in the vocabulary, or the model has no positions for so long a text.</exception>
    /// <exception cref="ArgumentException">There is no token, or the states are too short.</exception>
    /// <exception cref="InvalidOperationException">Another thread computes with the decoder.</exception>
    /// <exception cref="ObjectDisposedException">The decoder was disposed.</exception>
    public void Encode(ReadOnlySpan<int> tokens, Span<float> states, IProbe? probe = null)
    {
        CheckStates(states, tokens.Length);
        using KvCache cache = NewLayerCache(Math.Max(1, tokens.Length));
        Take(cache);
        try
        {
            Check(tokens, cache);
            RunLayers(tokens, tokens.Length, cache, probe);
            float* x = _work.Stream.Of(0);
            _outputNorm?.Apply(x, tokens.Length, x, _work.Pool);
            new ReadOnlySpan<float>(x, tokens.Length * Config.Hidden).CopyTo(states);
        }
        finally
        {
            GiveBack(cache);
        }
    }

    /// <summary>Keeps others from the working memory and from the cache until both are given back.</summary>
    private void Take(KvCache cache)
    {
        ArgumentNullException.ThrowIfNull(cache);
        _turn.Take(this);
        try
        {
            cache.Take(this);
        }
        catch
        {
            GiveBack();
            throw;
        }
    }

    private void GiveBack(KvCache cache)
    {
        cache.GiveBack();
        GiveBack();
    }

    private void GiveBack()
    {
        if (_turn.GiveBack()) Free();
    }

    private void CheckLogits(ReadOnlySpan<float> logits, int tokens)
    {
        if (logits.Length < (long)tokens * Config.Vocabulary)
            throw new ArgumentException($"{logits.Length} floats are too few for {tokens} x {Config.Vocabulary} logits", nameof(logits));
    }

    private void Check(ReadOnlySpan<int> tokens, KvCache cache)
    {
        if (tokens.IsEmpty) throw new ArgumentException("there must be at least one token", nameof(tokens));
        if (tokens.Length > cache.Capacity - cache.Length)
            throw new ArgumentException($"the cache holds {cache.Length} of {cache.Capacity} tokens; {tokens.Length} more do not fit", nameof(cache));
        foreach (int token in tokens)
            if ((uint)token >= (uint)Config.Vocabulary)
                throw new UnusableInputException($"token {token} is not in the model's vocabulary of {Config.Vocabulary}");
        int length = cache.Length + tokens.Length;
        if (Config.LearnedPositions > 0 && length > Config.LearnedPositions)
            throw new UnusableInputException($"the text is {length} tokens long, but the model has positions for {Config.LearnedPositions} only");
        if (length > Config.ContextLength && !_warned)
        {
            _warned = true;
            _options.Warn?.Invoke($"the text is longer than the {Config.ContextLength} tokens the model was trained for; expect worse predictions");
        }
    }

    /// <summary>
    /// True if between the text that the stored keys were rotated for and this one lies the length where all angles change, so that
    /// none fits any more: the text has grown past it, or is short again since the cache was truncated.
    /// </summary>
    private bool Switches(KvCache cache, int length)
    {
        foreach (RotaryTable rotary in _rotaries)
            if (rotary.Config.SwitchLength is { } at && cache.Length > 0 && cache.RotatedFor > at != length > at) return true;
        return false;
    }

    /// <summary>Computes the stored tokens again, with the angles of a longer text.</summary>
    private void Repeat(KvCache cache, int length)
    {
        int[] tokens = [.. cache.Tokens];
        cache.Clear();
        for (int start = 0; start < tokens.Length; start += _options.BatchSize)
            RunLayers(tokens.AsSpan(start, Math.Min(_options.BatchSize, tokens.Length - start)), length, cache, null);
    }

    /// <param name="length">Of the whole text, of which these tokens may be the middle.</param>
    private void RunLayers(ReadOnlySpan<int> tokens, int length, KvCache cache, IProbe? probe)
    {
        _work.Begin(new Segment(cache.Layers, 0, tokens.Length, cache.Length, length), probe);
        cache.Append(tokens, length);
        try
        {
            RunLayers(tokens);
        }
        catch
        {
            cache.TakeBack(tokens.Length);
            throw;
        }
    }

    /// <summary>Takes the tokens of the batch that has begun through all layers.</summary>
    private void RunLayers(ReadOnlySpan<int> tokens)
    {
        float* x = _work.Stream.Of((nint)tokens.Length * Config.Hidden);
        Embed(tokens, x);
        foreach (RotaryTable rotary in _rotaries) rotary.Prepare(_work);
        for (int l = 0; l < _layers.Length; l++)
        {
            _layers[l].Run(_work, x);
            _work.Probe?.Hidden(l, new ReadOnlySpan<float>(x, checked(tokens.Length * Config.Hidden)));
        }
    }

    private void Embed(ReadOnlySpan<int> tokens, float* x)
    {
        for (int t = 0; t < tokens.Length; t++)
        {
            var row = new Span<float>(x + (nint)t * Config.Hidden, Config.Hidden);
            Embedding.LookUp(tokens[t], row);
            if (Config.EmbeddingScale != 1) TensorPrimitives.Multiply(row, Config.EmbeddingScale, row);
            if (_tokenType.Length > 0) TensorPrimitives.Add(row, _tokenType, row);
        }
        if (_positions is not null) AddPositions(_positions, x);
        _embeddingNorm?.Apply(x, tokens.Length, x, _work.Pool);
    }

    private void AddPositions(Weight positions, float* x)
    {
        var position = new Span<float>(_work.Added.Of(Config.Hidden), Config.Hidden);
        foreach (Segment segment in _work.Segments)
            for (int t = 0; t < segment.Count; t++)
            {
                var row = new Span<float>(x + (nint)(segment.First + t) * Config.Hidden, Config.Hidden);
                positions.ReadRow(segment.Position + t, position);
                TensorPrimitives.Add(row, position, row);
            }
    }

    /// <summary>Logits of some tokens of the batch that has just passed through the layers.</summary>
    private void Head(int first, int count, Span<float> logits, IProbe? probe)
    {
        float* x = _work.Stream.Of(0) + (nint)first * Config.Hidden;
        _work.Input.Resize(count, Config.Hidden);
        if (_outputNorm is not null) _outputNorm.Apply(x, count, _work.Input.Floats, _work.Pool);
        else new ReadOnlySpan<float>(x, count * Config.Hidden).CopyTo(new Span<float>(_work.Input.Floats, count * Config.Hidden));
        _work.Input.Changed();
        probe?.LinearInput(_head!.Name, _work.Input);
        fixed (float* y = logits) _head!.Apply(_work.Input, y, _work.Pool);
        if (Config.LogitScale != 1) TensorPrimitives.Multiply(logits, Config.LogitScale, logits);
        if (Config.LogitSoftCap == 0) return;
        TensorPrimitives.Multiply(logits, 1 / Config.LogitSoftCap, logits);
        TensorPrimitives.Tanh(logits, logits);
        TensorPrimitives.Multiply(logits, Config.LogitSoftCap, logits);
    }

    private static float[] FirstTokenType(ModelSource source)
    {
        if (source.Tensors.GetValueOrDefault("token_types.weight") is not { } types) return [];
        var row = new float[types.Columns];
        types.Load().ReadRow(0, row);
        return row;
    }

    /// <summary>Frees the working memory; while another thread computes, at the end of that.</summary>
    public void Dispose()
    {
        if (_turn.Dispose()) Free();
    }

    private void Free()
    {
        _work.Dispose();
        foreach (RotaryTable rotary in _rotaries) rotary.Dispose();
    }
}
