using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="WideTile"/>.</summary>
/// <remarks>32-bit lane r of a step's register is row r, byte k of it column 4 * step + k.</remarks>
internal sealed class WideTileCode
{
    private const int Line = 64, FarAhead = 8192;

    // vpternlogd's truth tables of a or (b and c), and of (a and b) or c.
    private const byte OrMasked = 0xF8, MaskedOr = 0xEA;

    // rcx or rdi brings the arguments; rcx counts chunks then, s_left those of the stretch.
    private static readonly AssemblerRegister64 s_tile = rax, s_x = rdx, s_inputs = r8, s_sums = r9, s_left = r10, s_units = r11;

    // A callee gives these registers back. The fourth and the seventh row's address take those in which arguments come.
    private static readonly AssemblerRegister64 s_stride = rbx, s_arguments = r12, s_tiles = r13, s_x3 = rsi, s_x6 = rdi;
    private static readonly AssemblerRegister64[] s_kept = [s_stride, s_arguments, s_tiles, s_x3, s_x6];
    private static readonly NineRows s_rows = new(s_x, s_x3, s_x6, s_stride);

    private static readonly AssemblerRegisterZMM[] s_zmm = VectorRegisters.All;
    private static readonly AssemblerRegisterZMM s_codes = s_zmm[0], s_high = s_zmm[1], s_number = s_zmm[2];
    private static readonly AssemblerRegisterZMM s_lowMask = s_zmm[3], s_highMask = s_zmm[4], s_table = s_zmm[5];
    /// <summary>The lower half of a byte, in lanes of 32 bits.</summary>
    private static readonly AssemblerRegisterZMM s_nibble = s_zmm[6];
    private const int FirstSum = 7;

    // Where scales are folded into codes, the table is that of four rows by four codes in each 128 bits.
    private static readonly AssemblerRegisterZMM s_rowPlaces = s_highMask, s_multiples = s_high;

    /// <summary>Tokens from which folding scales into codes pays.</summary>
    private const int FoldTokens = 4;

    private readonly Assembler _ = new(64);
    private readonly PackedShape _shape;
    private readonly int _tokens;
    private readonly bool _windows;

    private WideTileCode(PackedShape shape, int tokens, bool windows) => (_shape, _tokens, _windows) = (shape, tokens, windows);

    /// <param name="shape">How the chunks lie in memory.</param>
    /// <param name="tokens">1 to <see cref="MaxTokens"/>.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(PackedShape shape, int tokens, bool windows)
    {
        var code = new WideTileCode(shape, tokens, windows);
        code.Write();
        return code._.ToBytes();
    }

    /// <summary>The most tokens of any layout.</summary>
    public const int MostTokens = 8;

    /// <summary>The most tokens of a layout whose sums fit the registers.</summary>
    public static int MaxTokens(PackedShape shape) => Math.Min(MostTokens, (s_zmm.Length - FirstSum) / TokenRegisters(shape, shape.FoldsScales));

    /// <summary>Bits a code in the lower of its two pieces, or all of them.</summary>
    private int LowBits => _shape.CodeBits switch { 2 or 3 => 2, 8 => 8, _ => 4 };

    /// <summary>Bits a code in the upper piece.</summary>
    private int HighBits => _shape.CodeBits - LowBits;

    private bool SumsOffsets => _shape.SumsOffsets;

    private bool FoldsScales => _shape.FoldsScales && _tokens >= FoldTokens;

    /// <summary>Vector registers of a token: a sum, dot products of each part, perhaps a sum of offsets.</summary>
    private static int TokenRegisters(PackedShape shape, bool foldsScales) => 1 + DotPartsOf(shape, foldsScales) + (shape.SumsOffsets ? 1 : 0);

    /// <summary>Dot products of a row in a chunk: as many as it has scales, but where these are in the codes already.</summary>
    private static int DotPartsOf(PackedShape shape, bool foldsScales) => foldsScales ? 1 : shape.Parts;

    private int DotParts => DotPartsOf(_shape, FoldsScales);

    /// <summary>Vector registers that are used.</summary>
    private int Used => FirstSum + TokenRegisters(_shape, FoldsScales) * _tokens;

    private void Write()
    {
        Enter();
        Label tile = _.CreateLabel(), stretch = _.CreateLabel(), chunk = _.CreateLabel();
        _.Label(ref tile);
        BeginTile();
        _.Label(ref stretch);
        BeginStretch();
        _.Label(ref chunk);
        AskForCodes();
        for (int part = 0; part < _shape.Parts; part++)
        {
            SumProducts(part);
            AddToSums(part);
        }
        _.add(s_tile, _shape.ChunkBytes);
        s_rows.Add(_, _tokens, Activation.Chunk);
        _.add(s_inputs, _shape.Parts * InputNumbers.Kinds * _tokens * sizeof(float));
        _.dec(s_left);
        _.jne(chunk);
        EndStretch();
        _.cmp(rcx, 0);
        _.jne(stretch);
        _.add(s_sums, _tokens * Line);
        _.dec(s_tiles);
        _.jne(tile);
        Leave();
    }

    private void Enter()
    {
        foreach (AssemblerRegister64 kept in s_kept) _.push(kept);
        _.mov(s_arguments, _windows ? rcx : rdi);
        VectorRegisters.Save(_, Used, _windows);
        FillMasks();
        if (FoldsScales) LoadPlaces();
        if (_shape.IsTable)
        {
            _.mov(rax, Argument(nameof(WideTile.Arguments.Table)));
            _.vbroadcasti32x4(s_table, __xmmword_ptr[rax]);
        }
        _.mov(s_tile, Argument(nameof(WideTile.Arguments.Tile)));
        _.mov(s_tiles, Argument(nameof(WideTile.Arguments.Tiles)));
        _.mov(s_sums, Argument(nameof(WideTile.Arguments.Sums)));
        if (_tokens > 1) _.mov(s_stride, Argument(nameof(WideTile.Arguments.Stride)));
    }

    private void Leave()
    {
        _.vzeroupper();
        VectorRegisters.Restore(_, Used, _windows);
        foreach (AssemblerRegister64 kept in s_kept.Reverse()) _.pop(kept);
        _.ret();
    }

    /// <summary>A tile lies behind the one before it; inputs are read again.</summary>
    private void BeginTile()
    {
        _.mov(s_x, Argument(nameof(WideTile.Arguments.X)));
        _.mov(s_inputs, Argument(nameof(WideTile.Arguments.Inputs)));
        _.mov(rcx, Argument(nameof(WideTile.Arguments.Chunks)));
        s_rows.Enter(_, _tokens);
        Clear(s_number);
        for (int token = 0; token < _tokens; token++) _.vmovups(__[s_sums + token * Line], s_number);
    }

    private void FillMasks()
    {
        if (LowBits < 8) Fill(s_lowMask, (1 << LowBits) - 1);
        if (HighBits > 0) Fill(s_highMask, ((1 << HighBits) - 1) << LowBits);
        if (_shape.SharesBytes) Broadcast(s_nibble, 15);

        void Fill(AssemblerRegisterZMM mask, int value) => Broadcast(mask, value * 0x01010101);
    }

    private void Broadcast(AssemblerRegisterZMM target, int value)
    {
        _.mov(eax, value);
        _.vpbroadcastd(target, eax);
    }

    /// <summary>Where the products of each of four rows begin in a table, and what makes 0 to 3 times a scale of it.</summary>
    private void LoadPlaces()
    {
        foreach (ulong two in (ulong[])[0x0C0C0C0C_08080808, 0x04040404_00000000])
        {
            _.mov(rax, two);
            _.push(rax);
        }
        _.vbroadcasti32x4(s_rowPlaces, __xmmword_ptr[rsp]);
        _.add(rsp, 16);
        Broadcast(s_multiples, 0x03020100);
    }

    private void BeginStretch()
    {
        _.mov(r10d, PackedKernel.StretchChunks);
        _.cmp(rcx, s_left);
        _.cmovl(s_left, rcx);
        _.sub(rcx, s_left);
        if (_shape.HasUnits)
        {
            _.mov(s_units, s_tile);
            _.add(s_tile, _shape.UnitsBytes);
        }
        for (int token = 0; token < _tokens; token++)
        {
            Clear(Sum(token));
            if (SumsOffsets) Clear(OffsetSum(token));
        }
    }

    private void EndStretch()
    {
        AssemblerRegisterZMM unit = s_number, offsetUnit = s_codes;
        if (_shape.HasUnits) _.vcvtph2ps(unit, __ymmword_ptr[s_units]);
        if (_shape.HasUnits && SumsOffsets) _.vcvtph2ps(offsetUnit, __ymmword_ptr[s_units + PackedMatrix.TileRows * Half16.Size]);
        for (int token = 0; token < _tokens; token++)
        {
            AssemblerRegisterZMM sum = Sum(token);
            if (_shape.HasUnits) _.vmulps(sum, sum, unit);
            if (_shape.HasUnits && SumsOffsets) _.vmulps(OffsetSum(token), OffsetSum(token), offsetUnit);
            if (SumsOffsets) _.vaddps(sum, sum, OffsetSum(token));
            _.vaddps(sum, sum, __[s_sums + token * Line]);
            _.vmovups(__[s_sums + token * Line], sum);
        }
    }

    /// <summary>
    /// One token is so fast that the processor itself reads far enough ahead. While it computes on several it does not, and too few
    /// lines can be on their way to the first cache: what comes later is asked for into the second.
    /// </summary>
    private void AskForCodes()
    {
        for (int at = 0; at < _shape.ChunkBytes; at += Line)
        {
            _.prefetcht0(__[s_tile + PackedKernel.Ahead + at]);
            if (_tokens > 1) _.prefetcht1(__[s_tile + FarAhead + at]);
        }
    }

    private void SumProducts(int part)
    {
        if (part < DotParts)
            for (int token = 0; token < _tokens; token++) _.vpbroadcastd(Dot(part, token), __dword_ptr[s_inputs + Input(part, 1, token)]);
        if (FoldsScales)
        {
            LoadNibbles(s_table, part * PackedMatrix.TileRows, areOffsets: false);
            _.vpmulld(s_table, s_table, s_multiples);
        }
        int steps = 8 / _shape.Parts;
        for (int step = part * steps; step < (part + 1) * steps; step++)
        {
            Unpack(step);
            for (int token = 0; token < _tokens; token++) _.vpdpbusd(Dot(Math.Min(part, DotParts - 1), token), s_codes, s_rows.Broadcast(token, step * 4));
        }
    }

    /// <summary>The codes of a step, a byte each, to <see cref="s_codes"/>: as the step of the layout in <see cref="ICodeLayout"/>.</summary>
    private void Unpack(int step)
    {
        if (LowBits == 8)
        {
            _.vmovups(s_codes, Codes(step));
            return;
        }
        (int piece, int from) = LowBits == 4 ? (step & 3, step < 4 ? 0 : 4) : (step >> 2, 2 * (step & 3));
        if (FoldsScales)
        {
            if (from == 0) _.vmovups(s_codes, Codes(piece));
            else _.vpsrlw(s_codes, Codes(piece), (byte)from);
            _.vpternlogd(s_codes, s_lowMask, s_rowPlaces, MaskedOr);
        }
        else if (from == 0) _.vpandd(s_codes, s_lowMask, Codes(piece));
        else
        {
            _.vpsrlw(s_codes, Codes(piece), (byte)from);
            _.vpandd(s_codes, s_codes, s_lowMask);
        }
        if (HighBits > 0)
        {
            // One plane of 8 single bits, or two of 4 times two bits. Lanes have 16 bits: what crosses a byte is masked away.
            (int plane, int at) = HighBits == 1 ? (0, step) : (step >> 2, 2 * (step & 3));
            AssemblerMemoryOperand bits = Codes(LowBits + plane);
            if (at > LowBits) _.vpsrlw(s_high, bits, (byte)(at - LowBits));
            else if (at < LowBits) _.vpsllw(s_high, bits, (byte)(LowBits - at));
            if (at == LowBits) _.vpternlogd(s_codes, s_highMask, bits, OrMasked);
            else _.vpternlogd(s_codes, s_highMask, s_high, OrMasked);
        }
        if (_shape.IsTable || FoldsScales) _.vpshufb(s_codes, s_table, s_codes);
    }

    /// <summary>
    /// The part's dot products times its scales, to the first part's; at the chunk's end sum += xScale dot. Offsets are multiplied by
    /// the input's sum, zero points taken from the dot products.
    /// </summary>
    private void AddToSums(int part)
    {
        AssemblerRegisterZMM offset = s_codes;
        if (!FoldsScales) LoadNumber(s_number, part * PackedMatrix.TileRows * _shape.NumberBytes, _shape.NumberBytes);
        if (_shape.HasZeroPoints) LoadNumber(offset, _shape.NumbersBytes + part * PackedMatrix.TileRows, 1);
        else if (SumsOffsets) LoadNumber(offset, _shape.OffsetsAt + part * PackedMatrix.TileRows * _shape.NumberBytes, _shape.NumberBytes, areOffsets: true);
        bool last = part == _shape.Parts - 1;
        for (int token = 0; token < _tokens; token++)
        {
            if (SumsOffsets) _.vfmadd231ps(OffsetSum(token), offset, __dword_bcst[s_inputs + Input(part, 2, token)]);
            if (!FoldsScales) Scale(part, token, offset);
            else if (last) _.vcvtdq2ps(Dot(0, token), Dot(0, token));
            if (last) _.vfmadd231ps(Sum(token), Dot(0, token), __dword_bcst[s_inputs + Input(part, 0, token)]);
        }
    }

    private void Scale(int part, int token, AssemblerRegisterZMM zeroPoint)
    {
        AssemblerRegisterZMM dot = Dot(part, token);
        _.vcvtdq2ps(dot, dot);
        if (_shape.HasZeroPoints) _.vfnmadd231ps(dot, zeroPoint, __dword_bcst[s_inputs + Input(part, 2, token)]);
        if (part == 0) _.vmulps(dot, dot, s_number);
        else _.vfmadd231ps(Dot(0, token), dot, s_number);
    }

    /// <summary>16 scales, offsets or zero points of so many bytes as floats.</summary>
    private void LoadNumber(AssemblerRegisterZMM target, int at, int bytes, bool areOffsets = false)
    {
        switch (bytes)
        {
            case 4: _.vmovups(target, __[s_tile + at]); break;
            case 2: _.vcvtph2ps(target, __ymmword_ptr[s_tile + at]); break;
            default:
                if (_shape.SharesBytes) LoadNibbles(target, at, areOffsets);
                else _.vpmovsxbd(target, __xmmword_ptr[s_tile + at]);
                _.vcvtdq2ps(target, target);
                break;
        }
    }

    /// <summary>16 scales, or the offsets above them, as integers.</summary>
    private void LoadNibbles(AssemblerRegisterZMM target, int at, bool areOffsets)
    {
        _.vpmovzxbd(target, __xmmword_ptr[s_tile + at]);
        if (areOffsets) _.vpsrld(target, target, 4);
        else _.vpandd(target, target, s_nibble);
    }

    private static AssemblerRegisterZMM Sum(int token) => s_zmm[FirstSum + token];

    private AssemblerRegisterZMM Dot(int part, int token) => s_zmm[FirstSum + (1 + part) * _tokens + token];

    private AssemblerRegisterZMM OffsetSum(int token) => s_zmm[FirstSum + (1 + DotParts) * _tokens + token];

    /// <summary>Where a number of a token is.</summary>
    private int Input(int part, int kind, int token) => ((part * InputNumbers.Kinds + kind) * _tokens + token) * sizeof(float);

    /// <summary>64 bytes of the chunk's codes.</summary>
    private AssemblerMemoryOperand Codes(int piece) => __[s_tile + _shape.CodesAt + piece * Line];

    private void Clear(AssemblerRegisterZMM register) => _.vpxord(register, register, register);

    private static AssemblerMemoryOperand Argument(string field) => __qword_ptr[s_arguments + (int)Marshal.OffsetOf<WideTile.Arguments>(field)];
}
