using System.Numerics;
using System.Runtime.Intrinsics;
using Nibble.Core.Memory;
using Nibble.Core.Threading;

namespace Nibble.Core.Kernels;

/// <summary>
/// The input of a matrix product: rows of float32, one a token, in native memory that is reused from product to product.
/// The 8-bit codes that integer kernels want are made once, by the first product that needs them: 32 columns share a
/// scale, x = scale * code, |code| at most 127.
/// </summary>
public sealed unsafe class Activation : IDisposable
{
    /// <summary>Columns that share a scale.</summary>
    public const int Chunk = 32;

    private const int ParallelAbove = 1 << 15;

    private readonly GrowingBuffer _floats = new();
    private readonly GrowingBuffer _codes = new();
    private readonly GrowingBuffer _scales = new();
    private readonly GrowingBuffer _sums = new();
    private bool _hasCodes;

    public int Tokens { get; private set; }
    public int Columns { get; private set; }

    /// <summary>[tokens, columns].</summary>
    public float* Floats => (float*)_floats.Pointer;

    /// <summary>Chunks a token; the last may be partly padding.</summary>
    public int Chunks => (Columns + Chunk - 1) / Chunk;

    /// <summary>[tokens, chunks * 32], zero beyond the columns. Valid after <see cref="MakeCodes"/>.</summary>
    public sbyte* Codes => (sbyte*)_codes.Pointer;

    /// <summary>[tokens, chunks].</summary>
    public float* Scales => (float*)_scales.Pointer;

    /// <summary>Sums of the codes, for offsets: [tokens, chunks, 2], one for each half of a chunk.</summary>
    public int* Sums => (int*)_sums.Pointer;

    /// <summary>Sets the shape; the contents are then unspecified. Grows the memory if it must, never shrinks it.</summary>
    public void Resize(int tokens, int columns)
    {
        Tokens = tokens;
        Columns = columns;
        _floats.Reserve((nint)tokens * columns * sizeof(float));
        Changed();
    }

    public Span<float> Row(int token) => new(Floats + (nint)token * Columns, Columns);

    /// <summary>Must be called after the floats were written: codes made from older values are dropped.</summary>
    public void Changed() => _hasCodes = false;

    /// <summary>Makes the codes if they are not there.</summary>
    public void MakeCodes(WorkerPool pool)
    {
        if (_hasCodes) return;
        _codes.Reserve((nint)Tokens * Chunks * Chunk);
        _scales.Reserve((nint)Tokens * Chunks * sizeof(float));
        _sums.Reserve((nint)Tokens * Chunks * 2 * sizeof(int));
        var job = new CodeJob { X = this };
        if ((long)Tokens * Columns >= ParallelAbove) pool.Run(ref job);
        else job.Run(0, 1);
        _hasCodes = true;
    }

    private struct CodeJob : IParallelJob
    {
        public Activation X;

        public readonly void Run(int worker, int workers)
        {
            (int from, int to) = ParallelRows.Share(X.Tokens, worker, workers);
            for (int token = from; token < to; token++) X.MakeCodesOf(token);
        }
    }

    private void MakeCodesOf(int token)
    {
        float* x = Floats + (nint)token * Columns;
        sbyte* codes = Codes + (nint)token * Chunks * Chunk;
        float* scales = Scales + (nint)token * Chunks;
        int* sums = Sums + (nint)token * Chunks * 2;
        float* padded = stackalloc float[Chunk];
        for (int chunk = 0; chunk < Chunks; chunk++)
        {
            float* source = x + chunk * Chunk;
            int left = Columns - chunk * Chunk;
            if (left < Chunk)
            {
                new Span<float>(padded, Chunk).Clear();
                new Span<float>(source, left).CopyTo(new Span<float>(padded, Chunk));
                source = padded;
            }
            scales[chunk] = Quantize(source, codes + chunk * Chunk, sums + chunk * 2);
        }
    }

    /// <summary>Rounds 32 floats to codes by their largest magnitude; returns the scale.</summary>
    private static float Quantize(float* x, sbyte* codes, int* sums)
    {
        Vector256<float> a = Vector256.Load(x), b = Vector256.Load(x + 8), c = Vector256.Load(x + 16), d = Vector256.Load(x + 24);
        Vector256<float> most = Vector256.Max(
            Vector256.Max(Vector256.Abs(a), Vector256.Abs(b)), Vector256.Max(Vector256.Abs(c), Vector256.Abs(d)));
        Vector128<float> most4 = Vector128.Max(most.GetLower(), most.GetUpper());
        most4 = Vector128.Max(most4, Vector128.Shuffle(most4, Vector128.Create(2, 3, 0, 1)));
        float largest = MathF.Max(most4[0], most4[1]);
        float scale = largest / 127;
        Vector256<float> inverse = Vector256.Create(largest > 0 ? 127 / largest : 0);
        Vector256<int> qa = Round(a * inverse), qb = Round(b * inverse), qc = Round(c * inverse), qd = Round(d * inverse);
        sums[0] = Vector256.Sum(qa + qb);
        sums[1] = Vector256.Sum(qc + qd);
        Vector256.Narrow(Vector256.Narrow(qa, qb), Vector256.Narrow(qc, qd)).Store(codes);
        return scale;
    }

    private static Vector256<int> Round(Vector256<float> x) => Vector256.ConvertToInt32(Vector256.Round(x));

    public void Dispose()
    {
        _floats.Dispose();
        _codes.Dispose();
        _scales.Dispose();
        _sums.Dispose();
    }
}
