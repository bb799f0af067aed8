using System.Runtime.InteropServices;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Tests.Kernels.Generated;

/// <summary>Pairs of bfloat16, emulated and made where the processor can, against rounding number by number.</summary>
public sealed unsafe class NumberPairsTests
{
    [Theory, InlineData(true), InlineData(false)]
    public void Neighbours_become_pairs(bool halves)
    {
        foreach (NumberPairs code in Implementations(halves))
            foreach (int count in (int[])[0, 32, 96, 1 << 16])
            {
                byte[] numbers = Numbers(halves, count);
                ushort[] rounded = Rounded(halves, numbers);
                var pairs = new uint[count / 2 + 1];
                fixed (byte* from = numbers)
                fixed (uint* to = pairs) code.JoinNeighbours(from, count, to);
                Assert.Equal([.. rounded, 0, 0], MemoryMarshal.Cast<uint, ushort>(pairs).ToArray());
            }
    }

    [Theory, InlineData(true), InlineData(false)]
    public void Rows_under_each_other_become_pairs(bool halves)
    {
        foreach (NumberPairs code in Implementations(halves))
            foreach ((int rows, int width) in ((int, int)[])[(1, 16), (2, 16), (7, 48), (64, 64)])
            {
                byte[] numbers = Numbers(halves, rows * width);
                ushort[] rounded = Rounded(halves, numbers);
                var pairs = new uint[(rows + 1) / 2 * width];
                fixed (byte* from = numbers)
                fixed (uint* to = pairs) code.JoinRows(from, width, rows, to);
                for (int i = 0; i < pairs.Length; i++)
                {
                    int row = i / width * 2, at = row * width + i % width;
                    Assert.Equal(rounded[at] | (uint)rounded[row + 1 < rows ? at + width : at] << 16, pairs[i]);
                }
            }
    }

    /// <summary>As lines of scores become pairs in their own place.</summary>
    [Fact]
    public void Pairs_may_be_written_over_the_numbers()
    {
        foreach (NumberPairs code in Implementations(halves: false))
        {
            byte[] numbers = Numbers(halves: false, 10 * 16);
            var pairs = new uint[5 * 16];
            fixed (byte* from = numbers)
            fixed (uint* to = pairs)
            {
                code.JoinRows(from, 16, 10, to);
                code.JoinRows(from, 16, 10, (uint*)from);
            }
            Assert.Equal(pairs, MemoryMarshal.Cast<byte, uint>(numbers)[..pairs.Length].ToArray());
        }
    }

    private static IEnumerable<NumberPairs> Implementations(bool halves)
    {
        if ((halves ? NumberPairs.OfHalves : NumberPairs.OfFloats) is { } real) yield return real;
        foreach (bool windows in (bool[])[false, true]) yield return Emulator.PairsOf(halves, windows);
    }

    /// <summary>Of F16 all that there are, subnormal and infinite ones too; of F32 any but those below the smallest normal one.</summary>
    private static byte[] Numbers(bool halves, int count)
    {
        var random = new Random(count);
        if (halves) return MemoryMarshal.AsBytes<ushort>(Enumerable.Range(0, count).Select(i => (ushort)(i * 40503)).ToArray()).ToArray();
        return MemoryMarshal.AsBytes<float>(Enumerable.Range(0, count).Select(i => i % 9 == 0 ? 0 : (random.NextSingle() - 0.5f) * MathF.Pow(2, random.Next(-100, 100))).ToArray()).ToArray();
    }

    private static ushort[] Rounded(bool halves, byte[] numbers)
    {
        float[] floats = halves ? [.. MemoryMarshal.Cast<byte, Half>(numbers).ToArray().Select(h => (float)h)] : MemoryMarshal.Cast<byte, float>(numbers).ToArray();
        var rounded = new float[floats.Length];
        FloatFormat.RoundToBFloat16(floats, rounded);
        return [.. rounded.Select(x => (ushort)(BitConverter.SingleToUInt32Bits(x) >> 16))];
    }
}
