using System.Numerics.Tensors;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Nibble.Core.Formats;

/// <summary>
/// The ring of states whose numbers come nearest to some weights, by the algorithm of Viterbi: of all paths that lead to a
/// state only the best can be part of the best of all. The trellis is walked from the last weight to the first, since a
/// weight's state is the next one's shifted up by its own bits.
/// </summary>
internal sealed unsafe class TrellisSearch
{
    /// <summary>No sum of costs comes near it, and it may be added to without overflow.</summary>
    private const float Unreachable = 1e30f;

    /// <summary>Weights beyond it are all alike: their costs must stay far below <see cref="Unreachable"/>.</summary>
    private const float Farthest = 1e4f;

    private readonly float[] _costs = new float[TrellisCode.States], _next = new float[TrellisCode.States];

    // For each step and each group of states (those that differ in their own bits alone) the bits that the predecessor lost.
    private readonly byte[] _lost = new byte[TrellisCode.Length * TrellisCode.States / 2];
    private readonly float[] _line = new float[TrellisCode.Length], _matter = new float[TrellisCode.Length];

    [ThreadStatic] private static TrellisSearch? t_own;

    /// <summary>The calling thread's own.</summary>
    public static TrellisSearch Own => t_own ??= new TrellisSearch();

    /// <summary>Finds the path; it is nearest of all rings through one state, which a first walk without ends has chosen.</summary>
    /// <param name="weights"><see cref="TrellisCode.Length"/> of them, in the unit of <see cref="TrellisCode.Numbers"/>.</param>
    /// <param name="importance">How much the error of each counts, or empty.</param>
    /// <param name="bits">Bits a weight, 1 to 4.</param>
    /// <param name="states">Gets the state of each.</param>
    public void Nearest(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, int bits, Span<ushort> states)
    {
        const int Half = TrellisCode.Length / 2;
        Load(weights, importance, Half);
        Walk(bits, start: null, states);
        // The first walk began at weight Half - 1 of the ring, so this is the state of weight 0.
        ushort joint = states[Half];
        Load(weights, importance, 0);
        Walk(bits, joint, states);
    }

    /// <summary>Takes the weights so that the one at place i is the ring's i + shift.</summary>
    private void Load(ReadOnlySpan<float> weights, ReadOnlySpan<float> importance, int shift)
    {
        float all = TensorPrimitives.Sum(importance);
        for (int i = 0; i < TrellisCode.Length; i++)
        {
            int from = (i + shift) % TrellisCode.Length;
            _line[i] = Math.Clamp(weights[from], -Farthest, Farthest);
            _matter[i] = importance.IsEmpty ? 1 : importance[from] / all * TrellisCode.Length;
        }
    }

    /// <param name="start">The state of the weight after the last, and of the first; null if any will do.</param>
    private void Walk(int bits, ushort? start, Span<ushort> states)
    {
        int groups = TrellisCode.States >> bits;
        Array.Fill(_costs, start is null ? 0 : Unreachable);
        if (start is { } known) _costs[known] = 0;
        fixed (float* numbers = TrellisCode.Numbers, a = _costs, b = _next)
        fixed (byte* lost = _lost)
        {
            float* from = a, to = b;
            for (int t = TrellisCode.Length - 1; t >= 0; t--)
            {
                Step(_line[t], _matter[t], bits, numbers, from, to, lost + t * groups);
                float* done = from;
                from = to;
                to = done;
            }
            int state = start ?? Least(from);
            for (int t = 0; t < TrellisCode.Length; t++)
            {
                states[t] = (ushort)state;
                int group = state >> bits;
                state = group | (lost[t * groups + group] << (TrellisCode.StateBits - bits));
            }
        }
    }

    private static int Least(float* costs)
    {
        int least = 0;
        for (int s = 1; s < TrellisCode.States; s++)
            if (costs[s] < costs[least]) least = s;
        return least;
    }

    /// <summary>
    /// One weight. The states of group g follow on the states g + j groups, of which the cheapest is taken; lanes are groups, then the
    /// 2^bits states of each. The same numbers come out at either width.
    /// </summary>
    private static void Step(float weight, float matter, int bits, float* numbers, float* from, float* to, byte* lost)
    {
        if (Vector512.IsHardwareAccelerated) Step512(weight, matter, bits, numbers, from, to, lost);
        else Step256(weight, matter, bits, numbers, from, to, lost);
    }

    private static void Step512(float weight, float matter, int bits, float* numbers, float* from, float* to, byte* lost)
    {
        int groups = TrellisCode.States >> bits, branches = 1 << bits;
        Vector512<float> target = Vector512.Create(weight), matters = Vector512.Create(matter);
        for (int g = 0; g < groups; g += Vector512<float>.Count)
        {
            Vector512<float> least = Vector512.Load(from + g);
            Vector512<int> which = default;
            for (int j = 1; j < branches; j++)
            {
                Vector512<float> other = Vector512.Load(from + g + j * groups);
                which = Vector512.ConditionalSelect(Vector512.LessThan(other, least).AsInt32(), Vector512.Create(j), which);
                least = Vector512.MinNative(other, least);
            }
            Avx512F.ConvertToVector128Byte(which.AsUInt32()).Store(lost + g);
            // The group, of sixteen, of each lane of a vector of states; each further vector is 16 / branches groups on.
            Vector512<int> group = Vector512<int>.Indices >>> bits, next = Vector512.Create(Vector512<float>.Count >> bits);
            for (int v = 0; v < branches; v++, group += next)
            {
                Vector512<float> distance = target - Vector512.Load(numbers + g * branches + Vector512<float>.Count * v);
                Vector512.FusedMultiplyAdd(distance * matters, distance, Avx512F.PermuteVar16x32(least, group)).Store(to + g * branches + Vector512<float>.Count * v);
            }
        }
    }

    private static void Step256(float weight, float matter, int bits, float* numbers, float* from, float* to, byte* lost)
    {
        int groups = TrellisCode.States >> bits, branches = 1 << bits;
        Vector256<float> target = Vector256.Create(weight), matters = Vector256.Create(matter);
        // The group, of eight, of each lane of the first vector of states; each further vector is 8 / branches groups on.
        Vector256<int> lanes = Vector256.Create(0, 1, 2, 3, 4, 5, 6, 7);
        for (int g = 0; g < groups; g += Vector256<float>.Count)
        {
            Vector256<float> least = Vector256.Load(from + g);
            Vector256<int> which = default;
            for (int j = 1; j < branches; j++)
            {
                Vector256<float> other = Vector256.Load(from + g + j * groups);
                which = Vector256.ConditionalSelect(Vector256.LessThan(other, least).AsInt32(), Vector256.Create(j), which);
                least = Vector256.MinNative(other, least);
            }
            Store(which, lost + g);
            for (int v = 0; v < branches; v++)
            {
                Vector256<int> group = (lanes + Vector256.Create(8 * v)) >>> bits;
                Vector256<float> distance = target - Vector256.Load(numbers + g * branches + 8 * v);
                Vector256.FusedMultiplyAdd(distance * matters, distance, Spread(least, group)).Store(to + g * branches + 8 * v);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Spread(Vector256<float> costs, Vector256<int> lanes) =>
        Avx2.IsSupported ? Avx2.PermuteVar8x32(costs, lanes) : Vector256.Shuffle(costs, lanes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(Vector256<int> which, byte* lost)
    {
        Vector128<short> words = Vector128.Narrow(which.GetLower(), which.GetUpper());
        *(ulong*)lost = Vector128.Narrow(words, words).AsUInt64()[0];
    }
}
