using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>Cosines and sines of a batch's positions, made once for all layers that rotate alike.</summary>
internal sealed unsafe class RotaryTable(RotaryConfig config) : IDisposable
{
    private readonly FloatBuffer _cos = new(), _sin = new();
    private readonly float[] _inverse = new float[config.Dimensions / 2];
    private float _magnitude;
    private int _length = -1;

    public RotaryConfig Config { get; } = config;

    /// <param name="position">Of the batch's first token.</param>
    /// <param name="length">Of the whole text.</param>
    public void Prepare(int position, int tokens, int length)
    {
        if (!Config.DependsOnLength) length = 0;
        if (length != _length) _magnitude = Config.Frequencies(length, _inverse);
        _length = length;
        int width = Config.Dimensions;
        float* cos = _cos.Of((nint)tokens * width), sin = _sin.Of((nint)tokens * width);
        for (int t = 0; t < tokens; t++)
            Rotary.Angles(_inverse, _magnitude, position + t, Config.Interleaved, new(cos + (nint)t * width, width), new(sin + (nint)t * width, width));
    }

    /// <summary>Rotates a head of the batch's token t in place, from the number that <paramref name="head"/> points to on.</summary>
    public void Rotate(float* head, int t)
    {
        nint at = (nint)t * Config.Dimensions;
        Rotary.Rotate(head, _cos.Of(0) + at, _sin.Of(0) + at, Config.Dimensions / 2, Config.Interleaved);
    }

    public void Dispose()
    {
        _cos.Dispose();
        _sin.Dispose();
    }
}
