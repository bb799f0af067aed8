using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

public sealed unsafe partial class Activation
{
    // The codes of an input, and the numbers that kernels need beside them.

    /// <summary>Columns from which on the codes of one token alone are shared by chunks: 8,192 take one thread 7 us.</summary>
    private const int ParallelColumns = 1 << 12;

    /// <summary>In every order that was asked for, of which the first are of the codes that there are.</summary>
    private readonly List<(InputGroups Groups, GrowingBuffer Buffer)> _numbers = [];
    private int _numbersMade;

    /// <summary>Makes the codes if they are not there.</summary>
    /// <param name="pool">The workers that share the tokens.</param>
    /// <param name="rounding">One that has codes; null is <see cref="InputRounding.Integer"/>.</param>
    public void MakeCodes(WorkerPool pool, InputRounding? rounding = null)
    {
        rounding ??= InputRounding.Integer;
        if (ReferenceEquals(_codesOf, rounding)) return;
        BeginCodes(rounding);
        var codes = new CodesJob { X = this, Rounding = rounding };
        if (Tokens == 1 && Columns >= ParallelColumns) pool.Run(ref codes);
        else Run(codes, pool);
    }

    private void BeginCodes(InputRounding rounding)
    {
        _codes.Reserve((nint)Tokens * Chunks * Chunk);
        _scales.Reserve((nint)Tokens * Chunks * sizeof(float));
        _sums.Reserve((nint)Tokens * Chunks * 2 * sizeof(int));
        _codesOf = rounding;
        _numbersMade = 0;
    }

    /// <summary>
    /// Lets those who write the floats of one token make the codes, with <see cref="MakeCodes(int, int)"/>: the product that reads them
    /// then finds them made. To be called before any floats are written.
    /// </summary>
    /// <param name="reader">The weight that this is the input of.</param>
    /// <param name="rounding">That of the reader's inputs.</param>
    /// <returns>False if the reader wants other things than codes, or a scale that does not come from one chunk.</returns>
    public bool ExpectCodes(Weight reader, WorkerPool pool, InputRounding? rounding)
    {
        rounding ??= InputRounding.Integer;
        if (Tokens != 1 || rounding is not { Grain: InputGrain.Group, Group: Chunk } || !MatrixProduct.ReadsCodes(reader, Tokens, rounding)) return false;
        BeginCodes(rounding);
        if (reader.Packed(pool).Kernel.NumbersOf(Tokens) is { } groups) BeginNumbers(groups);
        return true;
    }

    /// <summary>Makes the codes of some chunks of the one token, after <see cref="ExpectCodes"/>, and what goes with them.</summary>
    public void MakeCodes(int fromChunk, int toChunk)
    {
        MakeCodesOf(0, fromChunk, toChunk, _codesOf!);
        for (int i = 0; i < _numbersMade; i++)
            InputNumbers.ArrangeGroup(this, _numbers[i].Groups, 0, fromChunk, toChunk, (float*)_numbers[i].Buffer.Pointer);
    }

    /// <summary>What the generated kernels need beside the codes: [groups, chunks, parts, kinds, tokens of the group]. Valid after <see cref="MakeNumbers"/>.</summary>
    internal float* Numbers(InputGroups groups)
    {
        int at = IndexOf(groups);
        return at >= 0 ? (float*)_numbers[at].Buffer.Pointer : throw new InvalidOperationException("the numbers of an input were not made");
    }

    private int IndexOf(InputGroups groups)
    {
        for (int i = 0; i < _numbersMade; i++)
            if (_numbers[i].Groups == groups) return i;
        return -1;
    }

    /// <summary>Arranges the numbers that belong to the codes, if they are not so already: weights that share an input share them.</summary>
    internal void MakeNumbers(WorkerPool pool, InputGroups groups)
    {
        if (IndexOf(groups) >= 0) return;
        Run(new NumbersJob { X = this, Groups = groups, Numbers = BeginNumbers(groups) }, pool);
    }

    private float* BeginNumbers(InputGroups groups)
    {
        GrowingBuffer buffer = _numbersMade < _numbers.Count ? _numbers[_numbersMade].Buffer : new GrowingBuffer();
        if (_numbersMade == _numbers.Count) _numbers.Add(default);
        _numbers[_numbersMade++] = (groups, buffer);
        buffer.Reserve(groups.Tokens * groups.Numbers(Chunks) * sizeof(float));
        return (float*)buffer.Pointer;
    }

    private struct NumbersJob : IParallelJob
    {
        public Activation X;
        public InputGroups Groups;
        public float* Numbers;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(Groups.Count, worker, workers);
            for (int g = from; g < to; g++) InputNumbers.ArrangeGroup(X, Groups, g, 0, X.Chunks, Numbers);
        }
    }

    private struct CodesJob : IParallelJob
    {
        public Activation X;
        public InputRounding Rounding;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(X.Tokens == 1 ? X.Chunks : X.Tokens, worker, workers);
            if (X.Tokens == 1) X.MakeCodesOf(0, from, to, Rounding);
            else for (int token = from; token < to; token++) X.MakeCodesOf(token, 0, X.Chunks, Rounding);
        }
    }

    private void MakeCodesOf(int token, int fromChunk, int toChunk, InputRounding rounding)
    {
        float* x = Floats + (nint)token * Columns;
        sbyte* codes = Codes + (nint)token * Chunks * Chunk;
        float* scales = Scales + (nint)token * Chunks;
        int* sums = Sums + (nint)token * Chunks * 2;
        float* padded = stackalloc float[Chunk];
        int span = rounding.Grain == InputGrain.Group ? rounding.Group : Columns, most = rounding.LargestCode;
        bool isOfChunk = span == Chunk && !rounding.IsStatic;
        float scale = 0, inverse = 0;
        for (int chunk = fromChunk, at = fromChunk * Chunk; chunk < toChunk; chunk++, at += Chunk)
        {
            float* source = x + at;
            if (Columns - at < Chunk)
            {
                new Span<float>(padded, Chunk).Clear();
                new Span<float>(source, Columns - at).CopyTo(new Span<float>(padded, Chunk));
                source = padded;
            }
            int first = at - at % span;
            if (isOfChunk) (scale, inverse) = Scale(LargestOfChunk(source), most);
            else if (first == at || chunk == fromChunk) (scale, inverse) = Scale(rounding, x, first, Math.Min(span, Columns - first));
            Quantize(source, inverse, most, codes + at, sums + chunk * 2);
            scales[chunk] = scale;
        }
    }

    /// <summary>The scale of some columns of a token, and what makes codes of its numbers; 0 where all are 0.</summary>
    private static (float Scale, float Inverse) Scale(InputRounding rounding, float* x, int at, int count)
    {
        if (!rounding.IsStatic) return Scale(Largest(x + at, count), rounding.LargestCode);
        float scale = rounding.Scales.Span[rounding.Grain == InputGrain.Channel ? at : 0];
        return (scale, scale > 0 ? 1 / scale : 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (float Scale, float Inverse) Scale(float largest, int most) => (largest / most, largest > 0 ? most / largest : 0);

    /// <summary>The largest magnitude, not a number if one is not.</summary>
    private static float Largest(float* x, int count)
    {
        Vector256<int> most = default;
        int i = 0;
        for (; i <= count - Vector256<int>.Count; i += Vector256<int>.Count) most = Vector256.Max(most, Magnitudes(x + i));
        float largest = Largest(most);
        for (; i < count; i++) largest = MathF.Max(largest, MathF.Abs(x[i]));
        return largest;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float LargestOfChunk(float* x) =>
        Largest(Vector256.Max(Vector256.Max(Magnitudes(x), Magnitudes(x + 8)), Vector256.Max(Magnitudes(x + 16), Magnitudes(x + 24))));

    /// <summary>The bits of eight magnitudes, which are in their order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Magnitudes(float* x) => Vector256.Load((int*)x) & Vector256.Create(int.MaxValue);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Largest(Vector256<int> magnitudes)
    {
        Vector128<int> half = Vector128.Max(magnitudes.GetLower(), magnitudes.GetUpper());
        half = Vector128.Max(half, Vector128.Shuffle(half, Vector128.Create(2, 3, 0, 1)));
        half = Vector128.Max(half, Vector128.Shuffle(half, Vector128.Create(1, 0, 3, 2)));
        return half.AsSingle().ToScalar();
    }

    /// <summary>Rounds 32 floats to codes, and sums each half of them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Quantize(float* x, float inverse, int most, sbyte* codes, int* sums)
    {
        Vector256<int> qa = Round(x, inverse, most), qb = Round(x + 8, inverse, most);
        Vector256<int> qc = Round(x + 16, inverse, most), qd = Round(x + 24, inverse, most);
        if (Avx2.IsSupported)
        {
            Vector256<sbyte> packed = Avx2.PackSignedSaturate(Avx2.PackSignedSaturate(qa, qb), Avx2.PackSignedSaturate(qc, qd));
            packed = Avx2.PermuteVar8x32(packed.AsInt32(), Vector256.Create(0, 4, 1, 5, 2, 6, 3, 7)).AsSByte();
            packed.Store(codes);
            // Sums of eight bytes without signs, each 128 too large.
            Vector256<int> eights = Avx2.SumAbsoluteDifferences(packed.AsByte() ^ Vector256.Create((byte)128), Vector256<byte>.Zero).AsInt32();
            sums[0] = eights[0] + eights[2] - 16 * 128;
            sums[1] = eights[4] + eights[6] - 16 * 128;
            return;
        }
        sums[0] = Vector256.Sum(qa + qb);
        sums[1] = Vector256.Sum(qc + qd);
        Vector256.Narrow(Vector256.Narrow(qa, qb), Vector256.Narrow(qc, qd)).Store(codes);
    }

    /// <summary>Eight codes; 0 for what is not a number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<int> Round(float* x, float inverse, int most)
    {
        Vector256<float> codes = Vector256.Load(x) * inverse;
        codes &= Vector256.Equals(codes, codes);
        codes = Vector256.MinNative(Vector256.MaxNative(codes, Vector256.Create((float)-most)), Vector256.Create((float)most));
        return Vector256.ConvertToInt32Native(Vector256.Round(codes));
    }
}
