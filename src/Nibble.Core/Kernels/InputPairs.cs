using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Nibble.Core.Formats;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Core.Kernels;

/// <summary>In which order a kernel wants inputs rounded to bfloat16.</summary>
/// <param name="InLines">[lines, tokens, 32 columns], of whole lines of columns; else [groups of eight tokens, pairs of columns, 8], of an even number of them.</param>
/// <param name="Tokens">That there is room for: those beyond the last repeat it.</param>
internal readonly record struct PairOrder(bool InLines, int Tokens);

/// <summary>Inputs rounded to bfloat16, for <see cref="PairPanel"/> in groups, for <see cref="PairRows"/> and <see cref="AmxPairs"/> in lines.</summary>
internal static unsafe class InputPairs
{
    public const int Group = PairPanel.Tokens;

    /// <summary>The tokens of whole groups.</summary>
    public static int Padded(int tokens, int group) => (tokens + group - 1) / group * group;

    /// <summary>The order of <see cref="PairPanel"/>.</summary>
    public static PairOrder Groups(int tokens) => new(InLines: false, Padded(tokens, Group));

    /// <summary>Lines of so many tokens that they are whole groups.</summary>
    public static PairOrder Lines(int tokens, int group) => new(InLines: true, Padded(tokens, group));

    /// <summary>Writes one group.</summary>
    /// <param name="x">An even number of columns; tokens beyond the last repeat it.</param>
    /// <param name="token">The first of the group.</param>
    /// <param name="to">[pairs, 8].</param>
    public static void Arrange(Activation x, int token, uint* to)
    {
        for (int t = 0; t < Group; t += 4, to += 4)
        {
            float* a = Token(x, token + t), b = Token(x, token + t + 1), c = Token(x, token + t + 2), d = Token(x, token + t + 3);
            uint* own = to;
            int i = 0;
            for (; i <= x.Columns - 8; i += 8, own += 4 * Group)
                Square.Turn(FourPairs(a + i), FourPairs(b + i), FourPairs(c + i), FourPairs(d + i), (byte*)own, Group * sizeof(uint));
            for (; i < x.Columns; i += 2, own += Group) (own[0], own[1], own[2], own[3]) = (Pair(a + i), Pair(b + i), Pair(c + i), Pair(d + i));
        }
    }

    /// <summary>The floats of a token, or of the last.</summary>
    private static float* Token(Activation x, int token) => x.Floats + (nint)Math.Min(token, x.Tokens - 1) * x.Columns;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<uint> FourPairs(float* from)
    {
        Vector256<uint> upper = FloatFormat.ToBFloat16(Vector256.Load(from));
        return Vector256.Narrow(upper, upper).GetLower().AsUInt32();
    }

    private static uint Pair(float* from) => One(from[0]) | One(from[1]) << 16;

    /// <summary>Writes a token of lines.</summary>
    /// <param name="x">Whole lines of columns; a token beyond the last repeats it.</param>
    /// <param name="tokens">Of a line.</param>
    /// <param name="to">[lines, tokens, 32].</param>
    public static void ArrangeLines(Activation x, int token, int tokens, ushort* to)
    {
        float* from = Token(x, token);
        for (int c = 0; c < x.Columns; c += 16)
        {
            int line = c / PairRows.LineColumns, within = c % PairRows.LineColumns;
            Vector256<uint> lower = FloatFormat.ToBFloat16(Vector256.Load(from + c)), upper = FloatFormat.ToBFloat16(Vector256.Load(from + c + 8));
            Vector256.Narrow(lower, upper).Store(to + ((nint)line * tokens + token) * PairRows.LineColumns + within);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint One(float x) => FloatFormat.ToBFloat16(Vector256.Create(x))[0];
}
