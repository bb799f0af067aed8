using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="WideTile"/>.</summary>
/// <remarks>32-bit lane r of a step's register is row r, byte k of it column 4 * step + k.</remarks>
internal sealed partial class WideTileCode
{
    private const int Line = 64;

    // vpternlogd's truth tables of a or (b and c), and of (a and b) or c.
    private const byte OrMasked = 0xF8, MaskedOr = 0xEA;

    // rcx or rdi brings the arguments; rcx counts chunks then, s_left those of the stretch. Between stretches s_sum walks over the sums.
    private static readonly AssemblerRegister64 s_tile = rax, s_x = rdx, s_inputs = r8, s_sums = r9, s_left = r10, s_sum = r10, s_units = r11;

    // A callee gives these registers back. The fourth and the seventh row's address take those in which arguments come.
    private static readonly AssemblerRegister64 s_stride = rbx, s_arguments = r12, s_tiles = r13, s_apart = r14, s_sumStride = r15, s_x3 = rsi, s_x6 = rdi, s_next = rbp;
    private static readonly AssemblerRegister64[] s_kept = [s_stride, s_arguments, s_tiles, s_apart, s_sumStride, s_x3, s_x6, s_next];
    private static readonly NineRows s_rows = new(s_x, s_x3, s_x6, s_stride);

    /// <summary>Tokens from which folding scales into codes pays.</summary>
    private const int FoldTokens = 4;

    private readonly Assembler _ = new(64);
    private readonly PackedShape _shape;
    private readonly int _tokens, _tiles, _firstSum;
    private readonly bool _windows;

    /// <summary>A step's codes of each tile.</summary>
    private readonly AssemblerRegisterZMM[] _codes;
    private readonly AssemblerRegisterZMM _number;

    /// <summary>Four bytes of a token for every lane, where two tiles share them.</summary>
    private readonly AssemblerRegisterZMM _input;
    private readonly AssemblerRegisterZMM _lowMask, _highMask, _shifted, _table;

    /// <summary>
    /// The 64 bytes that hold the lower bits of this step and of others, of each tile, and those that hold their upper bits: loaded
    /// once, for most of them lie across two lines. Two tiles leave no registers for the upper ones.
    /// </summary>
    private readonly AssemblerRegisterZMM[] _piece = [], _planes = [];

    /// <summary>The lower half of a byte, in lanes of 32 bits.</summary>
    private readonly AssemblerRegisterZMM _nibble;

    /// <summary>Where scales are folded into codes: where each of four rows begins in a table, and 0 to 3.</summary>
    private readonly AssemblerRegisterZMM _rowPlaces, _multiples;

    private WideTileCode(PackedShape shape, int tokens, int tiles, bool windows)
    {
        (_shape, _tokens, _tiles, _windows) = (shape, tokens, tiles, windows);
        int used = 0;
        _codes = [.. Enumerable.Range(0, tiles).Select(_ => Next())];
        _number = Next();
        if (tiles > 1) _input = Next();
        if (LowBits < 8) (_lowMask, _piece) = (Next(), [.. Enumerable.Range(0, tiles).Select(_ => Next())]);
        if (HighBits > 0) (_highMask, _shifted) = (Next(), Next());
        if (tiles == 1) _planes = [.. Enumerable.Range(0, HighBits).Select(_ => Next())];
        if (shape.IsTable || shape.FoldsScales) _table = Next();
        if (shape.SharesBytes) _nibble = Next();
        if (shape.FoldsScales) (_rowPlaces, _multiples) = (Next(), Next());
        _firstSum = used;

        AssemblerRegisterZMM Next() => VectorRegisters.All[used++];
    }

    /// <param name="shape">How the chunks lie in memory.</param>
    /// <param name="tokens">1 to <see cref="MaxTokens"/>.</param>
    /// <param name="tiles">That share the inputs, side by side: 1 or 2.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(PackedShape shape, int tokens, int tiles, bool windows)
    {
        var code = new WideTileCode(shape, tokens, tiles, windows);
        code.Write();
        return code._.ToBytes();
    }

    /// <summary>The most tokens of any layout.</summary>
    public const int MostTokens = 8;

    /// <summary>The most tiles side by side.</summary>
    public const int MostTiles = 2;

    /// <summary>The most tokens of a layout whose sums fit the registers.</summary>
    /// <param name="tiles">Side by side.</param>
    public static int MaxTokens(PackedShape shape, int tiles)
    {
        int free = VectorRegisters.All.Length - new WideTileCode(shape, 1, tiles, windows: false)._firstSum;
        return Math.Min(MostTokens, free / (tiles * TokenRegisters(shape, shape.FoldsScales)));
    }

    /// <summary>Bits a code in the lower of its two pieces, or all of them.</summary>
    private int LowBits => _shape.CodeBits switch { 2 or 3 => 2, 8 => 8, _ => 4 };

    /// <summary>Bits a code in the upper piece.</summary>
    private int HighBits => _shape.CodeBits - LowBits;

    private int StretchBytes => _shape.UnitsBytes + PackedKernel.StretchChunks * _shape.ChunkBytes;

    private bool SumsOffsets => _shape.SumsOffsets;

    private bool FoldsScales => _shape.FoldsScales && _tokens >= FoldTokens;

    /// <summary>Vector registers of a tile and token: a sum, dot products of each part, perhaps a sum of offsets.</summary>
    private static int TokenRegisters(PackedShape shape, bool foldsScales) => 1 + DotPartsOf(shape, foldsScales) + (shape.SumsOffsets ? 1 : 0);

    /// <summary>Dot products of a row in a chunk: as many as it has scales, but where these are in the codes already.</summary>
    private static int DotPartsOf(PackedShape shape, bool foldsScales) => foldsScales ? 1 : shape.Parts;

    private int DotParts => DotPartsOf(_shape, FoldsScales);

    /// <summary>Vector registers that are used.</summary>
    private int Used => _firstSum + TokenRegisters(_shape, FoldsScales) * _tokens * _tiles;

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
        SumProducts();
        for (int part = 0; part < _shape.Parts; part++)
            for (int i = 0; i < _tiles; i++) AddToSums(i, part);
        _.add(s_tile, _shape.ChunkBytes);
        s_rows.Add(_, _tokens, Activation.Chunk);
        _.add(s_inputs, _shape.Parts * InputNumbers.Kinds * _tokens * sizeof(float));
        _.dec(s_left);
        _.jne(chunk);
        EndStretch();
        _.cmp(rcx, 0);
        _.jne(stretch);
        if (_tiles > 1) _.add(s_tile, s_apart);
        _.add(s_sums, _tiles * Line);
        _.sub(s_tiles, _tiles);
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
            _.vbroadcasti32x4(_table, __xmmword_ptr[rax]);
        }
        _.mov(s_tile, Argument(nameof(WideTile.Arguments.Tile)));
        _.mov(s_tiles, Argument(nameof(WideTile.Arguments.Tiles)));
        _.mov(s_sums, Argument(nameof(WideTile.Arguments.Sums)));
        if (_tiles > 1)
        {
            _.mov(s_apart, Argument(nameof(WideTile.Arguments.Apart)));
            _.mov(s_next, Argument(nameof(WideTile.Arguments.Next)));
        }
        if (_tokens == 1) return;
        _.mov(s_stride, Argument(nameof(WideTile.Arguments.Stride)));
        _.mov(s_sumStride, Argument(nameof(WideTile.Arguments.SumStride)));
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
        Clear(_number);
        ForEachSum((at, _, _) => _.vmovups(at, _number));
    }

    /// <summary>Walks over the sums in memory.</summary>
    private void ForEachSum(Action<AssemblerMemoryOperand, int, int> write)
    {
        _.mov(s_sum, s_sums);
        for (int token = 0; token < _tokens; token++)
        {
            for (int i = 0; i < _tiles; i++) write(__[s_sum + i * Line], i, token);
            if (token < _tokens - 1) _.add(s_sum, s_sumStride);
        }
    }

    private void FillMasks()
    {
        if (LowBits < 8) Fill(_lowMask, (1 << LowBits) - 1);
        if (HighBits > 0) Fill(_highMask, ((1 << HighBits) - 1) << LowBits);
        if (_shape.SharesBytes) Broadcast(_nibble, 15);

        void Fill(AssemblerRegisterZMM mask, int value) => Broadcast(mask, value * 0x01010101);
    }

    private void Broadcast(AssemblerRegisterZMM target, int value)
    {
        _.mov(eax, value);
        _.vpbroadcastd(target, eax);
    }

    private void LoadPlaces()
    {
        foreach (ulong two in (ulong[])[0x0C0C0C0C_08080808, 0x04040404_00000000])
        {
            _.mov(rax, two);
            _.push(rax);
        }
        _.vbroadcasti32x4(_rowPlaces, __xmmword_ptr[rsp]);
        _.add(rsp, 16);
        Broadcast(_multiples, 0x03020100);
    }

    private void BeginStretch()
    {
        _.mov(r10d, PackedKernel.StretchChunks);
        _.cmp(rcx, s_left);
        _.cmovl(s_left, rcx);
        _.sub(rcx, s_left);
        if (_tiles == 1) StreamRequests.AskForPages(_, s_tile, StretchBytes, s_units);
        if (_shape.HasUnits)
        {
            _.mov(s_units, s_tile);
            _.add(s_tile, _shape.UnitsBytes);
        }
        for (int i = 0; i < _tiles; i++)
            for (int token = 0; token < _tokens; token++)
            {
                Clear(Sum(i, token));
                if (SumsOffsets) Clear(OffsetSum(i, token));
            }
    }

    private void EndStretch()
    {
        for (int i = 0; i < _tiles; i++)
        {
            AssemblerRegisterZMM unit = _number, offsetUnit = _codes[i];
            if (_shape.HasUnits) _.vcvtph2ps(unit, __ymmword_ptr[At(s_units, i, 0)]);
            if (_shape.ScaleFactor != 1)
            {
                AssemblerRegisterZMM factor = _shape.HasUnits ? offsetUnit : unit;
                _.mov(r10d, BitConverter.SingleToInt32Bits(_shape.ScaleFactor));
                _.vpbroadcastd(factor, r10d);
                if (_shape.HasUnits) _.vmulps(unit, unit, factor);
            }
            if (_shape.HasUnits && SumsOffsets) _.vcvtph2ps(offsetUnit, __ymmword_ptr[At(s_units, i, PackedMatrix.TileRows * Half16.Size)]);
            for (int token = 0; token < _tokens; token++)
            {
                AssemblerRegisterZMM sum = Sum(i, token);
                if (_shape.HasUnits || _shape.ScaleFactor != 1) _.vmulps(sum, sum, unit);
                if (_shape.HasUnits && SumsOffsets) _.vmulps(OffsetSum(i, token), OffsetSum(i, token), offsetUnit);
                if (SumsOffsets) _.vaddps(sum, sum, OffsetSum(i, token));
            }
        }
        ForEachSum((at, i, token) =>
        {
            _.vaddps(Sum(i, token), Sum(i, token), at);
            _.vmovups(at, Sum(i, token));
        });
    }

    /// <summary>
    /// Tiles that are taken together are in the second cache already: they are asked for into the first, and what follows all of them,
    /// a few lines with each chunk, into the second.
    /// </summary>
    private void AskForCodes()
    {
        if (_tiles == 1)
        {
            StreamRequests.AskForCodes(_, s_tile, _shape.ChunkBytes, _tokens);
            return;
        }
        for (int i = 0; i < _tiles; i++)
            for (int at = 0; at < _shape.ChunkBytes; at += Line) _.prefetcht0(__[At(s_tile, i, at + PackedKernel.Ahead)]);
        for (int at = 0; at < WideTile.NextBytes; at += Line) _.prefetcht1(__[s_next + at]);
        _.add(s_next, Argument(nameof(WideTile.Arguments.NextStep)));
    }

    private void SumProducts()
    {
        for (int part = 0; part < DotParts; part++)
            for (int token = 0; token < _tokens; token++) Begin(part, token);
        foreach (int step in Steps())
        {
            int part = step * _shape.Parts / 8, dot = Math.Min(part, DotParts - 1);
            if (FoldsScales && step % (8 / _shape.Parts) == 0) MakeTable(part);
            for (int i = 0; i < _tiles; i++) Unpack(i, step);
            for (int token = 0; token < _tokens; token++)
                if (_tiles == 1) _.vpdpbusd(Dot(0, dot, token), _codes[0], s_rows.Broadcast(token, step * 4));
                else
                {
                    _.vpbroadcastd(_input, __dword_ptr[s_rows.At(token, step * 4)]);
                    for (int i = 0; i < _tiles; i++) _.vpdpbusd(Dot(i, dot, token), _codes[i], _input);
                }
        }
    }

    /// <summary>The steps of a chunk, those behind each other that share the lower piece.</summary>
    private IEnumerable<int> Steps() => LowBits == 4 ? [0, 4, 1, 5, 2, 6, 3, 7] : Enumerable.Range(0, 8);

    /// <summary>Sums start with what makes levels of codes.</summary>
    private void Begin(int part, int token)
    {
        _.vpbroadcastd(Dot(0, part, token), __dword_ptr[s_inputs + Input(part, 1, token)]);
        for (int i = 1; i < _tiles; i++) _.vmovaps(Dot(i, part, token), Dot(0, part, token));
    }

    /// <summary>
    /// The part's dot products times its scales, to the first part's; at the chunk's end sum += xScale dot. Offsets are multiplied by
    /// the input's sum, zero points taken from the dot products.
    /// </summary>
    private void AddToSums(int i, int part)
    {
        AssemblerRegisterZMM offset = _codes[i];
        if (!FoldsScales && _shape.NumberBytes > 0) LoadNumber(_number, i, part * PackedMatrix.TileRows * _shape.NumberBytes, _shape.NumberBytes);
        if (_shape.HasZeroPoints) LoadNumber(offset, i, _shape.NumbersBytes + part * PackedMatrix.TileRows, 1);
        else if (SumsOffsets) LoadNumber(offset, i, _shape.OffsetsAt + part * PackedMatrix.TileRows * _shape.NumberBytes, _shape.NumberBytes, areOffsets: true);
        bool last = part == _shape.Parts - 1;
        for (int token = 0; token < _tokens; token++)
        {
            if (SumsOffsets) _.vfmadd231ps(OffsetSum(i, token), offset, __dword_bcst[s_inputs + Input(part, 2, token)]);
            if (!FoldsScales) Scale(i, part, token, offset);
            else if (last) _.vcvtdq2ps(Dot(i, 0, token), Dot(i, 0, token));
            if (last) _.vfmadd231ps(Sum(i, token), Dot(i, 0, token), __dword_bcst[s_inputs + Input(part, 0, token)]);
        }
    }

    private void Scale(int i, int part, int token, AssemblerRegisterZMM zeroPoint)
    {
        AssemblerRegisterZMM dot = Dot(i, part, token);
        _.vcvtdq2ps(dot, dot);
        if (_shape.HasZeroPoints) _.vfnmadd231ps(dot, zeroPoint, __dword_bcst[s_inputs + Input(part, 2, token)]);
        if (_shape.NumberBytes == 0) return;
        if (part == 0) _.vmulps(dot, dot, _number);
        else _.vfmadd231ps(Dot(i, 0, token), dot, _number);
    }

    private AssemblerRegisterZMM Sum(int i, int token) => OfToken(i, 0, token);

    private AssemblerRegisterZMM Dot(int i, int part, int token) => OfToken(i, 1 + part, token);

    private AssemblerRegisterZMM OffsetSum(int i, int token) => OfToken(i, 1 + DotParts, token);

    /// <summary>One of the registers of a tile and a token.</summary>
    private AssemblerRegisterZMM OfToken(int i, int which, int token) => VectorRegisters.All[_firstSum + (which * _tiles + i) * _tokens + token];

    /// <summary>Where a number of a token is.</summary>
    private int Input(int part, int kind, int token) => ((part * InputNumbers.Kinds + kind) * _tokens + token) * sizeof(float);

    /// <summary>64 bytes of the chunk's codes.</summary>
    private AssemblerMemoryOperand Codes(int i, int piece) => __[At(s_tile, i, _shape.CodesAt + piece * Line)];

    /// <summary>A place in the first tile, or the same in the one beside it.</summary>
    private static AssemblerMemoryOperand At(AssemblerRegister64 from, int i, int at) => i == 0 ? from + at : from + s_apart + at;

    private void Clear(AssemblerRegisterZMM register) => _.vpxord(register, register, register);

    private static AssemblerMemoryOperand Argument(string field) => __qword_ptr[s_arguments + (int)Marshal.OffsetOf<WideTile.Arguments>(field)];
}
