namespace Nibble.Core.Formats;

/// <summary>
/// An 8-bit float: a sign, some bits of exponent, the rest of mantissa (Micikevicius et al., FP8 formats for deep learning,
/// arXiv 2209.05433). Weights beyond the largest finite number become it.
/// </summary>
internal sealed class Float8
{
    private readonly int _mantissaBits, _bias;
    private readonly float _largest;
    private readonly float[] _values;

    /// <summary>4 bits of exponent: no infinities, one NaN, to 448. The type F8_E4M3 of safetensors.</summary>
    public static readonly Float8 E4M3 = new(mantissaBits: 3, bias: 7, largest: 448, infinity: float.NaN);

    /// <summary>5 bits of exponent, as IEEE would have it, to 57,344. The type F8_E5M2 of safetensors.</summary>
    public static readonly Float8 E5M2 = new(mantissaBits: 2, bias: 15, largest: 57344, infinity: float.PositiveInfinity);

    private Float8(int mantissaBits, int bias, float largest, float infinity)
    {
        (_mantissaBits, _bias, _largest) = (mantissaBits, bias, largest);
        _values = [.. Enumerable.Range(0, 256).Select(code => (code & 0x80) == 0 ? Value(code, infinity) : -Value(code & 0x7F, infinity))];
    }

    private float Value(int code, float infinity)
    {
        int exponent = code >> _mantissaBits, mantissa = code & ((1 << _mantissaBits) - 1);
        float value = exponent == 0 ? MathF.ScaleB(mantissa, 1 - _bias - _mantissaBits)
            : MathF.ScaleB((1 << _mantissaBits) + mantissa, exponent - _bias - _mantissaBits);
        if (value <= _largest) return value;
        return mantissa == 0 ? infinity : float.NaN;
    }

    /// <summary>The value of a code.</summary>
    public float this[byte code] => _values[code];

    /// <summary>The value of each code, with zero where it is not a finite number.</summary>
    public float[] FiniteLevels() => [.. _values.Select(v => float.IsFinite(v) ? v : 0)];

    public void Decode(ReadOnlySpan<byte> codes, Span<float> weights)
    {
        float[] values = _values;
        for (int i = 0; i < weights.Length; i++) weights[i] = values[codes[i]];
    }

    public void Encode(ReadOnlySpan<float> weights, Span<byte> codes)
    {
        for (int i = 0; i < weights.Length; i++) codes[i] = Encode(weights[i]);
    }

    /// <summary>To nearest, ties to even.</summary>
    private byte Encode(float weight)
    {
        int sign = float.IsNegative(weight) ? 0x80 : 0;
        if (float.IsNaN(weight)) return (byte)(sign | 0x7F);
        float magnitude = Math.Min(Math.Abs(weight), _largest);
        int exponent = magnitude == 0 ? 1 - _bias : Math.Max(MathF.ILogB(magnitude), 1 - _bias);
        // In units of the last place; a carry out of the mantissa is the next exponent.
        int units = (int)MathF.Round(MathF.ScaleB(magnitude, _mantissaBits - exponent));
        return (byte)(sign | (units + ((exponent - 1 + _bias) << _mantissaBits)));
    }
}
