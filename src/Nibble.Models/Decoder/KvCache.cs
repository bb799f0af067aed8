using Nibble.Core;
using Nibble.Core.Formats;
using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>
/// The tokens a decoder has seen, and the keys and values of each layer. A layer with a sliding window keeps only what
/// its window and a batch need.
/// </summary>
public sealed class KvCache : IDisposable
{
    private readonly int[] _tokens;

    internal KvCache(ModelConfig config, int capacity, DecoderOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(capacity, 1);
        Capacity = capacity;
        _tokens = new int[capacity];
        Layers = new KeyValueRows[config.Layers.Count];
        for (int l = 0; l < Layers.Length; l++)
        {
            int window = config.Layers[l].Window;
            int slots = window == 0 ? capacity : (int)Math.Min(capacity, (long)window + options.BatchSize);
            Layers[l] = config.Latent is { } latent
                ? NewRows(options, 1, slots, latent.KeySize, latent.Rank, valuesInKeys: true)
                : NewRows(options, config.KvHeads, slots, config.HeadSize, config.HeadSize, valuesInKeys: false);
        }
    }

    private static KeyValueRows NewRows(DecoderOptions options, int heads, int slots, int keySize, int valueSize, bool valuesInKeys)
    {
        Format format = options.FormatOfCache;
        if (format.BlockSize > 0 && (keySize % format.BlockSize != 0 || (!valuesInKeys && valueSize % format.BlockSize != 0)))
            throw new UnusableInputException(
                $"the cache cannot be {format}: its blocks of {format.BlockSize} do not divide this model's keys of {keySize} numbers; F16 fits every model");
        // A block that divides both, so that the beginning of a rotated key is the rotated beginning.
        int rotation = options.RotateCache ? Hadamard.BlockOf(keySize | valueSize) : 0;
        return new KeyValueRows(format, heads, slots, keySize, valuesInKeys ? 0 : valueSize, rotation);
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

    /// <summary>Forgets everything.</summary>
    public void Clear() => Length = 0;

    /// <summary>Forgets the tokens from <paramref name="length"/> on.</summary>
    /// <exception cref="InvalidOperationException">A sliding window has already overwritten what the token before needs.</exception>
    public void Truncate(int length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)length, (uint)Length);
        foreach (KeyValueRows layer in Layers)
            if (Length > layer.Slots && length < Length && length > 0)
                throw new InvalidOperationException("a layer's sliding window has passed; the cache can only be cleared");
        Length = length;
    }

    internal void Append(ReadOnlySpan<int> tokens)
    {
        tokens.CopyTo(_tokens.AsSpan(Length));
        Length += tokens.Length;
    }

    public void Dispose()
    {
        foreach (KeyValueRows layer in Layers) layer.Dispose();
    }
}
