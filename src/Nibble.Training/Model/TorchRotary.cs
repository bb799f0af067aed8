using Nibble.Models;
using TorchSharp;
using static TorchSharp.torch;

namespace Nibble.Training.Model;

/// <summary>The rotary embedding of a text that starts at position 0.</summary>
internal sealed class TorchRotary(RotaryConfig config) : IDisposable
{
    private Tensor? _cos, _sin;
    private long _tokens;

    public RotaryConfig Config => config;

    /// <param name="x">[batch, heads, tokens, head size].</param>
    public Tensor Forward(Tensor x)
    {
        Prepare(x.shape[2]);
        long turned = config.Dimensions, size = x.shape[3];
        Tensor part = turned == size ? x : x.narrow(3, 0, turned);
        Tensor rotated = config.Interleaved ? RotatePairs(part) : RotateHalves(part);
        return turned == size ? rotated : cat([rotated, x.narrow(3, turned, size - turned)], 3);
    }

    private Tensor RotateHalves(Tensor x)
    {
        Tensor[] halves = x.chunk(2, 3);
        return cat([halves[0] * _cos! - halves[1] * _sin!, halves[1] * _cos! + halves[0] * _sin!], 3);
    }

    private Tensor RotatePairs(Tensor x)
    {
        Tensor pairs = x.unflatten(3, [-1, 2]);
        Tensor first = pairs.select(4, 0), second = pairs.select(4, 1);
        return stack([first * _cos! - second * _sin!, second * _cos! + first * _sin!], 4).flatten(3, 4);
    }

    /// <summary>Cosines and sines, [tokens, pairs], made once a length.</summary>
    private void Prepare(long tokens)
    {
        if (tokens == _tokens) return;
        Dispose();
        var inverse = new float[config.Dimensions / 2];
        float magnitude = config.Frequencies((int)tokens, inverse);
        var (cos, sin) = (new float[tokens * inverse.Length], new float[tokens * inverse.Length]);
        for (int i = 0; i < cos.Length; i++)
        {
            (double s, double c) = Math.SinCos((double)(i / inverse.Length) * inverse[i % inverse.Length]);
            (cos[i], sin[i]) = ((float)c * magnitude, (float)s * magnitude);
        }
        _cos = tensor(cos, [tokens, inverse.Length]).DetachFromDisposeScope();
        _sin = tensor(sin, [tokens, inverse.Length]).DetachFromDisposeScope();
        _tokens = tokens;
    }

    public void Dispose()
    {
        _cos?.Dispose();
        _sin?.Dispose();
        _tokens = 0;
    }
}
