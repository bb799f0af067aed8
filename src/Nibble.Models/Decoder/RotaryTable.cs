using Nibble.Core.Kernels;

namespace Nibble.Models.Decoder;

/// <summary>Cosines and sines of a batch's positions, made once for all layers that rotate alike.</summary>
internal sealed unsafe class RotaryTable(RotaryConfig config) : IDisposable
{
    private readonly FloatBuffer _cos = new(), _sin = new();
    private readonly float[] _inverse = new float[config.Dimensions / 2];
    private float _magnitude;
    private int _length = -1;

    /// <summary>Of the batch that the table was made for, if it had one segment: many batches begin where the one before did.</summary>
    private (int Position, int Count, int Length) _made;

    public RotaryConfig Config { get; } = config;

    /// <summary>Makes the angles of a batch.</summary>
    public void Prepare(Workspace work)
    {
        ReadOnlySpan<Segment> segments = work.Segments;
        (int, int, int) asked = segments.Length == 1 ? (segments[0].Position, segments[0].Count, Config.DependsOnLength ? segments[0].Length : 0) : default;
        if (segments.Length == 1 && asked == _made) return;
        _made = asked;
        int width = Config.Dimensions;
        float* cos = _cos.Of((nint)work.Tokens * width), sin = _sin.Of((nint)work.Tokens * width);
        foreach (Segment segment in segments)
        {
            SetLength(Config.DependsOnLength ? segment.Length : 0);
            for (int t = 0; t < segment.Count; t++, cos += width, sin += width)
                Rotary.Angles(_inverse, _magnitude, segment.Position + t, Config.Interleaved, new(cos, width), new(sin, width));
        }
    }

    private void SetLength(int length)
    {
        if (length != _length) _magnitude = Config.Frequencies(length, _inverse);
        _length = length;
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
