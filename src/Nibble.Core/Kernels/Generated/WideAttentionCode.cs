using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="WideAttention"/>.</summary>
internal sealed class WideAttentionCode
{
    private const int Line = 64, Pairs = 16, Changing = 4, Used = Pairs + WideAttention.MostRows + Changing + 1;

    /// <summary>Vectors of a row whose products stand one behind the other; of more there is a loop.</summary>
    private const int MostUnrolled = 8;

    /// <summary>Bytes from a row of scores to the next.</summary>
    private const int ScoreStride = Attention.KeyBlock * sizeof(float);

    // vshuff32x4's choice of the even and of the odd quarters of two registers.
    private const byte Even = 0x88, Odd = 0xDD;

    // rcx or rdi brings the arguments.
    private static readonly AssemblerRegister64 s_arguments = rcx, s_rows = rax, s_stored = rdx, s_results = r8, s_count = r9, s_next = r10, s_vectors = r11;

    // What is added up, 16 pairs of a row and a key or 16 vectors of sums; what is held for all rows; what changes; and zero.
    private static readonly AssemblerRegisterZMM[] s_added = VectorRegisters.All[..Pairs];
    private static readonly AssemblerRegisterZMM[] s_held = VectorRegisters.All[Pairs..(Pairs + WideAttention.MostRows)];
    private static readonly AssemblerRegisterZMM[] s_changing = VectorRegisters.All[(Pairs + WideAttention.MostRows)..(Used - 1)];
    private static readonly AssemblerRegisterZMM s_zero = VectorRegisters.All[Used - 1];

    private readonly Assembler _;
    private readonly StoredShape _shape;
    private readonly int _rowCount;

    private WideAttentionCode(Assembler assembler, StoredShape shape, int rows) => (_, _shape, _rowCount) = (assembler, shape, rows);

    /// <summary>Bytes of a stored vector of 16 numbers.</summary>
    private int VectorBytes => _shape.Halves ? Line / 2 : Line;

    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Scores(StoredShape shape, bool windows) => Assemble(shape, windows, static code => code.Score());

    /// <inheritdoc cref="Scores"/>
    public static byte[] Sums(StoredShape shape, bool windows) => Assemble(shape, windows, static code => code.AddValues());

    /// <summary>Code for each number of rows, one after the other, and at its beginning the question whether it is the one.</summary>
    private static byte[] Assemble(StoredShape shape, bool windows, Action<WideAttentionCode> work)
    {
        var assembler = new Assembler(64);
        if (!windows) assembler.mov(s_arguments, rdi);
        Label next = default;
        for (int rows = 1; rows <= WideAttention.MostRows; rows++)
        {
            var code = new WideAttentionCode(assembler, shape, rows);
            if (rows > 1) assembler.Label(ref next);
            next = assembler.CreateLabel();
            if (rows < WideAttention.MostRows)
            {
                code.Take(s_count, nameof(WideAttention.Arguments.RowCount));
                assembler.cmp(s_count, rows);
                assembler.jne(next);
            }
            VectorRegisters.Save(assembler, Used, windows);
            code.TakeArguments();
            work(code);
            assembler.vzeroupper();
            VectorRegisters.Restore(assembler, Used, windows);
            assembler.ret();
        }
        return assembler.ToBytes();
    }

    private void TakeArguments()
    {
        Take(s_rows, nameof(WideAttention.Arguments.Rows));
        Take(s_stored, nameof(WideAttention.Arguments.Stored));
        Take(s_next, nameof(WideAttention.Arguments.Next));
        Take(s_results, nameof(WideAttention.Arguments.Results));
        Take(s_count, nameof(WideAttention.Arguments.Count));
    }

    private void Take(AssemblerRegister64 target, string field) =>
        _.mov(target, __qword_ptr[s_arguments + (int)Marshal.OffsetOf<WideAttention.Arguments>(field)]);

    /// <summary>Groups of keys, one after the other.</summary>
    private void Score()
    {
        int keys = WideAttention.KeysOf(_rowCount), stride = _shape.KeySize / WideAttention.Lanes * VectorBytes;
        Label group = _.CreateLabel();
        _.vpxord(s_zero, s_zero, s_zero);
        _.Label(ref group);
        for (int pair = 0; pair < _rowCount * keys; pair++) _.vpxord(s_added[pair], s_added[pair], s_added[pair]);
        Multiply(keys, stride);
        _.add(s_stored, keys * stride);
        Ask(keys * stride);
        StoreScores(AddAcross(_rowCount * keys), keys);
        _.add(s_results, keys * sizeof(float));
        _.dec(s_count);
        _.jne(group);
    }

    /// <summary>All rows with a group of keys; the places in both are back at their beginning then.</summary>
    private void Multiply(int keys, int stride)
    {
        int vectors = _shape.KeySize / WideAttention.Lanes, unrolled = Enumerable.Range(1, MostUnrolled).Last(n => vectors % n == 0), rounds = vectors / unrolled;
        Label round = _.CreateLabel();
        if (rounds > 1) _.mov(s_vectors, rounds);
        _.Label(ref round);
        for (int v = 0; v < unrolled; v++) MultiplyVector(keys, stride, v);
        if (rounds == 1) return;
        _.add(s_rows, unrolled * Line);
        _.add(s_stored, unrolled * VectorBytes);
        _.dec(s_vectors);
        _.jne(round);
        _.sub(s_rows, vectors * Line);
        _.sub(s_stored, vectors * VectorBytes);
    }

    private void MultiplyVector(int keys, int stride, int vector)
    {
        for (int r = 0; r < _rowCount; r++) _.vmovups(s_held[r], __[s_rows + (r * _shape.KeySize * sizeof(float) + vector * Line)]);
        for (int k = 0; k < keys; k++)
        {
            AssemblerRegisterZMM key = s_changing[k % Changing];
            Load(key, k * stride + vector * VectorBytes);
            for (int r = 0; r < _rowCount; r++) _.vfmadd231ps(s_added[r * keys + k], key, s_held[r]);
        }
    }

    private void Load(AssemblerRegisterZMM target, int at)
    {
        if (_shape.Halves) _.vcvtph2ps(target, __ymmword_ptr[s_stored + at]);
        else _.vmovups(target, __[s_stored + at]);
    }

    private void Ask(int bytes)
    {
        for (int at = 0; at < bytes; at += Line) _.prefetcht1(__[s_next + at]);
        _.add(s_next, bytes);
    }

    /// <summary>
    /// The sums of the lanes of up to 16 registers, in the lanes of the one returned: neighbours are interleaved and added until one is
    /// left. Where there is no neighbour, zero is one.
    /// </summary>
    private AssemblerRegisterZMM AddAcross(int count)
    {
        List<AssemblerRegisterZMM> left = [.. s_added[..count]];
        int changing = 0;
        for (int level = 0; level < 4; level++)
        {
            List<AssemblerRegisterZMM> sums = [];
            for (int i = 0; i < left.Count; i += 2)
            {
                AssemblerRegisterZMM a = left[i], b = i + 1 < left.Count ? left[i + 1] : s_zero, first = s_changing[changing++ % Changing];
                Interleave(level, first, a, b);
                _.vaddps(a, a, first);
                sums.Add(a);
            }
            left = sums;
        }
        return left[0];
    }

    /// <summary>One half of both into <paramref name="first"/>, the other into <paramref name="a"/>.</summary>
    private void Interleave(int level, AssemblerRegisterZMM first, AssemblerRegisterZMM a, AssemblerRegisterZMM b)
    {
        switch (level)
        {
            case 0:
                _.vunpcklps(first, a, b);
                _.vunpckhps(a, a, b);
                break;
            case 1:
                _.vunpcklpd(first, a, b);
                _.vunpckhpd(a, a, b);
                break;
            default:
                _.vshuff32x4(first, a, b, Even);
                _.vshuff32x4(a, a, b, Odd);
                break;
        }
    }

    private void StoreScores(AssemblerRegisterZMM scores, int keys)
    {
        for (int r = 0; r < _rowCount; r++)
        {
            AssemblerMemoryOperand to = s_results + r * ScoreStride;
            if (keys == Pairs) _.vmovups(__zmmword_ptr[to], scores);
            else if (keys == Pairs / 2) _.vextractf64x4(__ymmword_ptr[to], scores, (byte)r);
            else _.vextractf32x4(__xmmword_ptr[to], scores, (byte)r);
        }
    }

    /// <summary>All values for as many vectors of them as there are registers for sums; then the next ones.</summary>
    private void AddValues()
    {
        int vectors = _shape.ValueSize / WideAttention.Lanes, together = Math.Min(Pairs / _rowCount, MostUnrolled);
        for (int first = 0; first < vectors; first += together)
        {
            if (first > 0)
            {
                Take(s_rows, nameof(WideAttention.Arguments.Rows));
                Take(s_stored, nameof(WideAttention.Arguments.Stored));
                Take(s_count, nameof(WideAttention.Arguments.Count));
            }
            AddVectors(first, Math.Min(together, vectors - first));
        }
    }

    private void AddVectors(int first, int count)
    {
        int stride = _shape.ValueStride / WideAttention.Lanes * VectorBytes;
        Take(s_vectors, nameof(WideAttention.Arguments.Shrink));
        for (int r = 0; r < _rowCount; r++) _.vbroadcastss(s_held[r], __dword_ptr[s_vectors + r * sizeof(float)]);
        for (int i = 0; i < _rowCount * count; i++) _.vmulps(s_added[i], s_held[i / count], Sums(i));
        Label value = _.CreateLabel();
        _.Label(ref value);
        for (int r = 0; r < _rowCount; r++) _.vbroadcastss(s_held[r], __dword_ptr[s_rows + r * ScoreStride]);
        for (int v = 0; v < count; v++)
        {
            AssemblerRegisterZMM part = s_changing[v % Changing];
            Load(part, (first + v) * VectorBytes);
            for (int r = 0; r < _rowCount; r++) _.vfmadd231ps(s_added[r * count + v], part, s_held[r]);
        }
        if (first == 0 && _shape.ValueStride == _shape.ValueSize) Ask(stride);
        _.add(s_rows, sizeof(float));
        _.add(s_stored, stride);
        _.dec(s_count);
        _.jne(value);
        for (int i = 0; i < _rowCount * count; i++) _.vmovups(Sums(i), s_added[i]);

        AssemblerMemoryOperand Sums(int i) => __zmmword_ptr[s_results + (i / count * _shape.ValueSize * sizeof(float) + (first + i % count) * Line)];
    }
}
