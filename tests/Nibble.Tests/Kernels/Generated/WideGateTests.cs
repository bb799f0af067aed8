using Nibble.Core.Kernels;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Tests.Kernels.Generated;

/// <summary>Gated units by generated code: emulated, and run where the processor can, against double precision.</summary>
public sealed unsafe class WideGateTests
{
    private const int Rows = 3, Stride = 70, StrideY = 53;

    public static TheoryData<Nonlinearity, bool> Cases => new(
        from f in Enum.GetValues<Nonlinearity>() where WideGateCode.Exponent(f) is not null from hasUp in new[] { false, true } select (f, hasUp));

    [Theory, MemberData(nameof(Cases))]
    public void Rows_are_what_the_formula_says_and_nothing_else_is_written(Nonlinearity f, bool hasUp)
    {
        float[] gate = [.. AttentionTests.Gaussian(Rows * Stride, 1).Select(x => 4 * x)], up = AttentionTests.Gaussian(gate.Length, 2);
        float[] special = [0, -0f, 30, -30, 87, 88, 89, -87, -88, -89, -100, 100, 1e-8f, 1e4f, -1e4f, 1e30f, -1e30f];
        special.CopyTo(gate, Stride);
        foreach (WideGate code in Implementations(f, hasUp))
            for (int vectors = 1; vectors <= 3; vectors++)
            {
                float[] y = Apply(code, gate, hasUp ? up : null, vectors);
                for (int i = 0; i < y.Length; i++)
                {
                    int row = i / StrideY, column = i % StrideY, at = row * Stride + column;
                    if (column >= vectors * WideGate.Lanes)
                    {
                        Assert.Equal(-1, y[i]);
                        continue;
                    }
                    double expected = ElementwiseTests.Defined(f, gate[at]) * (hasUp ? up[at] : 1);
                    Assert.Equal(expected, y[i], 1e-6 * Math.Max(1e-3, Math.Abs(expected)));
                }
            }
    }

    [Theory, MemberData(nameof(Cases))]
    public void What_is_no_number_does_not_vanish(Nonlinearity f, bool hasUp)
    {
        float[] gate = AttentionTests.Gaussian(Rows * Stride, 3), up = AttentionTests.Gaussian(gate.Length, 4);
        (gate[2], gate[3]) = (float.NaN, float.PositiveInfinity);
        foreach (WideGate code in Implementations(f, hasUp))
        {
            float[] y = Apply(code, gate, hasUp ? up : null, 1);
            Assert.True(float.IsNaN(y[2]));
            Assert.True(float.IsInfinity(y[3]));
            Assert.Equal(2, y.Count(x => !float.IsFinite(x)));
        }
    }

    private static IEnumerable<WideGate> Implementations(Nonlinearity f, bool hasUp)
    {
        foreach (bool windows in new[] { false, true }) yield return Emulator.Gate(f, hasUp, windows);
        if (WideGate.Of(f, hasUp) is { } code) yield return code;
    }

    private static float[] Apply(WideGate code, float[] gate, float[]? up, int vectors)
    {
        float[] y = [.. Enumerable.Repeat(-1f, Rows * StrideY)];
        int columns = vectors * WideGate.Lanes;
        fixed (float* g = gate, u = up, to = y)
        {
            var arguments = new WideGate.Arguments
            {
                Gate = g,
                Up = u,
                Y = to,
                Vectors = vectors,
                Rows = Rows,
                Skip = (Stride - columns) * sizeof(float),
                SkipY = (StrideY - columns) * sizeof(float),
            };
            code.Apply(ref arguments);
        }
        return y;
    }
}
