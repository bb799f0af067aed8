using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>
/// The tokens a decoder has seen, and the keys and values of each layer. A layer with a sliding window keeps only what
/// its window and a batch need. It is of one decoder, and for one thread at a time.
/// </summary>
public sealed class KvCache : IDisposable
{
    private readonly DecoderModel _decoder;
    private readonly int[] _tokens;
    private Turn _turn;

    /// <summary>One more than the last position that was written since the cache was empty.</summary>
    private int _written;

    internal KvCache(DecoderModel decoder, int capacity, DecoderOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        _decoder = decoder;
        ModelConfig config = decoder.Config;
        Capacity = capacity;
        _tokens = new int[capacity];
        (int heads, int keySize, int valueSize) = RowsOf(config, options);
        // A block that divides both, so that where values are the beginning of keys, that of a rotated key is the rotated beginning.
        int rotation = options.RotateCache ? Hadamard.BlockOf(keySize | (config.Latent?.Rank ?? valueSize)) : 0;
        Layers = new KeyValueRows[config.Layers.Count];
        for (int l = 0; l < Layers.Length; l++)
            Layers[l] = new KeyValueRows(options.FormatOfCache, heads, SlotsOf(l, capacity, config, options), keySize, valueSize, rotation);
    }

    /// <summary>What the <see cref="Bytes"/> of a cache would be.</summary>
    internal static long BytesOf(int capacity, ModelConfig config, DecoderOptions options)
    {
        (int heads, int keySize, int valueSize) = RowsOf(config, options);
        long head = options.FormatOfCache.RowBytes(keySize) + options.FormatOfCache.RowBytes(valueSize);
        return Enumerable.Range(0, config.Layers.Count).Sum(l => (long)SlotsOf(l, capacity, config, options) * heads * head);
    }

    /// <summary>Heads of a layer, and numbers of their keys and values; 0 where a value is the beginning of its key.</summary>
    private static (int Heads, int KeySize, int ValueSize) RowsOf(ModelConfig config, DecoderOptions options)
    {
        (int heads, int keySize, int valueSize) = config.Latent is { } latent ? (1, latent.KeySize, 0) : (config.KvHeads, config.HeadSize, config.HeadSize);
        Format format = options.FormatOfCache;
        if (format.BlockSize > 0 && (keySize % format.BlockSize != 0 || valueSize % format.BlockSize != 0))
            throw new UnusableInputException(
                $"the cache cannot be {format}: its blocks of {format.BlockSize} do not divide this model's keys of {keySize} numbers; F16 fits every model");
        return (heads, keySize, valueSize);
    }

    private static int SlotsOf(int layer, int capacity, ModelConfig config, DecoderOptions options)
    {
        // An encoder takes a text as one batch, however long.
        int window = config.Causal ? config.Layers[layer].Window : 0;
        return window == 0 ? capacity : (int)Math.Min(capacity, (long)window + options.BatchSize);
    }

    /// <summary>The most tokens it can hold.</summary>
    public int Capacity { get; }

    /// <summary>The tokens it holds.</summary>
    public int Length { get; private set; }

    /// <summary>The tokens themselves.</summary>
    public ReadOnlySpan<int> Tokens => _tokens.AsSpan(0, Length);

    /// <summary>Memory of keys and values, in bytes.</summary>
    public long Bytes => Layers.Sum(l => l.Bytes);

    internal KeyValueRows[] Layers { get; }

    /// <summary>The length of the text that the keys were last rotated for: a cache that was truncated may hold those of a longer one.</summary>
    internal int RotatedFor { get; private set; }

    /// <summary>Forgets everything.</summary>
    public void Clear() => (Length, _written) = (0, 0);

    /// <summary>Forgets the tokens from <paramref name="length"/> on.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The cache does not hold as many.</exception>
    /// <exception cref="InvalidOperationException">A sliding window has already overwritten what the next token needs.</exception>
    public void Truncate(int length)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(length, Length);
        if (HasPassed(length)) throw new InvalidOperationException("a layer's sliding window has passed; the cache can only be cleared");
        if (length == 0) Clear();
        Length = length;
    }

    /// <summary>Whether a sliding window has overwritten what the next token after so many would need.</summary>
    private bool HasPassed(int length)
    {
        for (int l = 0; l < Layers.Length && length < Length && length > 0; l++)
            if (_written > Layers[l].Slots && Math.Max(0, length - _decoder.Config.Layers[l].Window) < _written - Layers[l].Slots) return true;
        return false;
    }

    /// <summary>Forgets what a text does not begin with, all where a sliding window has passed that place; returns the length of what it keeps.</summary>
    internal int Keep(ReadOnlySpan<int> text, DecoderModel decoder)
    {
        Take(decoder);
        try
        {
            int same = text.CommonPrefixLength(Tokens);
            Truncate(HasPassed(same) ? 0 : same);
            return Length;
        }
        finally
        {
            GiveBack();
        }
    }

    /// <param name="length">Of the whole text, for which their keys are rotated.</param>
    internal void Append(ReadOnlySpan<int> tokens, int length)
    {
        tokens.CopyTo(_tokens.AsSpan(Length));
        Length += tokens.Length;
        _written = Math.Max(_written, Length);
        RotatedFor = length;
    }

    /// <summary>Forgets the tokens that were appended last, whose keys were not all computed.</summary>
    internal void TakeBack(int count) => Length -= count;

    /// <summary>Keeps others from it until it is given back.</summary>
    /// <exception cref="ArgumentException">It is another decoder's.</exception>
    internal void Take(DecoderModel decoder)
    {
        if (decoder != _decoder) throw new ArgumentException("the cache was made by another decoder");
        _turn.Take(this);
    }

    internal void GiveBack()
    {
        if (_turn.GiveBack()) Free();
    }

    /// <summary>Frees the memory; while a decoder computes with it, at the end of that.</summary>
    public void Dispose()
    {
        if (_turn.Dispose()) Free();
    }

    private void Free()
    {
        foreach (KeyValueRows layer in Layers) layer.Dispose();
    }
}
