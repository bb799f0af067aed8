using Nibble.Core.Kernels.Generated;

namespace Nibble.Tests.Kernels.Generated;

/// <summary>Every F16 becomes the same number in F32, emulated and run where the processor can.</summary>
public sealed unsafe class HalfNumbersTests
{
    [Fact]
    public void Every_half_is_widened_exactly()
    {
        Half[] halves = [.. Enumerable.Range(0, 1 << 16).Select(bits => BitConverter.UInt16BitsToHalf((ushort)bits))];
        if (HalfNumbers.Instance is { } numbers) Check(numbers, halves);
        foreach (bool wide in (bool[])[false, true]) Check(Emulator.Halves(wide, windows: false), halves);
    }

    [Fact]
    public void Any_count_is_widened()
    {
        Half[] halves = [.. Enumerable.Range(0, 50).Select(i => (Half)(i * 0.25f))];
        for (int count = 0; count <= halves.Length; count++)
            foreach (bool wide in (bool[])[false, true]) Check(Emulator.Halves(wide, windows: true), halves[..count]);
    }

    private static void Check(HalfNumbers numbers, Half[] halves)
    {
        float[] widened = [.. Enumerable.Repeat(77f, halves.Length + 1)];
        fixed (Half* from = halves)
        fixed (float* to = widened) numbers.Widen(from, to, halves.Length);
        Assert.Equal([.. halves.Select(h => (float)h), 77f], widened);
    }
}
