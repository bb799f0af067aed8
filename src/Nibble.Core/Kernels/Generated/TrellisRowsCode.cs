using System.Runtime.InteropServices;
using Iced.Intel;
using Nibble.Core.Formats;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="TrellisRows"/>.</summary>
/// <remarks>
/// Each step is taken for both rows before the next: it takes some 60 cycles from a state to its product, and a processor has but so
/// many instructions waiting.
/// </remarks>
internal sealed class TrellisRowsCode
{
    private const int Line = 64;

    // rcx or rdi brings the arguments; rcx counts rings then.
    private static readonly AssemblerRegister64 s_address = rcx, s_rings = rax, s_x = rdx, s_scales = r8, s_arguments = r9, s_blocks = r10, s_next = r11;

    private static readonly AssemblerRegisterZMM[] s_zmm = VectorRegisters.All;
    private static readonly AssemblerRegisterZMM s_windowPlaces = s_zmm[0], s_lowPlaces = s_zmm[1], s_highPlaces = s_zmm[2], s_counted = s_zmm[3], s_minusOne = s_zmm[4];
    private const int FirstTable = 5, FirstOfRows = FirstTable + TrellisRows.Tables, RowRegisters = 6, FirstSum = FirstOfRows + 2 * RowRegisters;
    private static readonly AssemblerRegisterZMM s_centre = s_zmm[FirstSum];

    /// <summary>The registers of one of the rows.</summary>
    private sealed record Row(int Index, AssemblerRegisterK Carry)
    {
        public AssemblerRegisterZMM Low => At(0);
        public AssemblerRegisterZMM High => At(1);
        public AssemblerRegisterZMM Number => At(2);
        public AssemblerRegisterZMM First => At(3);
        public AssemblerRegisterZMM Second => At(4);
        public AssemblerRegisterZMM Third => At(5);

        private AssemblerRegisterZMM At(int place) => s_zmm[FirstOfRows + Index * RowRegisters + place];
    }

    private static readonly Row[] s_rows = [new(0, k1), new(1, k2)];
    private static readonly AssemblerRegisterK s_ringWords = k3;

    private readonly Assembler _ = new(64);
    private readonly int _bits, _tokens;
    private readonly bool _windows;

    private TrellisRowsCode(int bits, int tokens, bool windows) => (_bits, _tokens, _windows) = (bits, tokens, windows);

    /// <param name="bits">1 to 4 a weight.</param>
    /// <param name="tokens">1 to <see cref="TrellisRows.MaxTokens"/>, or 0 for the numbers.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(int bits, int tokens, bool windows)
    {
        var code = new TrellisRowsCode(bits, tokens, windows);
        code.Write();
        return code._.ToBytes();
    }

    private void Write()
    {
        Enter();
        Label block = _.CreateLabel(), ring = _.CreateLabel();
        _.Label(ref block);
        for (int i = 0; i < 2 * _tokens; i++) _.vpxord(s_zmm[FirstSum + i], s_zmm[FirstSum + i], s_zmm[FirstSum + i]);
        _.mov(rcx, Argument(nameof(TrellisRows.Arguments.BlockRings)));
        _.Label(ref ring);
        ReadStates();
        LookUp();
        if (_tokens == 0) Store();
        for (int token = 0; token < _tokens; token++) AddProducts(token);
        _.add(s_rings, TrellisCode.Bytes(_bits));
        _.add(s_x, Math.Max(1, _tokens) * Line);
        _.add(s_scales, _tokens == 0 ? Line : _tokens * 2 * sizeof(float));
        _.dec(rcx);
        _.jne(ring);
        EndBlock();
        _.dec(s_blocks);
        _.jne(block);
        Leave();
    }

    private void Enter()
    {
        _.mov(s_arguments, _windows ? rcx : rdi);
        VectorRegisters.Save(_, s_zmm.Length, _windows);
        _.mov(s_next, Argument(nameof(TrellisRows.Arguments.Constants)));
        _.vmovups(s_windowPlaces, __[s_next + TrellisRows.WindowsAt]);
        _.vmovups(s_lowPlaces, __[s_next + TrellisRows.LowAt]);
        _.vmovups(s_highPlaces, __[s_next + TrellisRows.HighAt]);
        for (int table = 0; table < TrellisRows.Tables; table++) _.vmovups(Table(table), __[s_next + (TrellisRows.TablesAt + table * Line)]);
        Fill(s_counted, 0xFC);
        Fill(s_minusOne, 0xFF);
        if (_tokens == 0) Fill(s_centre, TrellisCode.Largest);
        _.mov(eax, (1 << (TrellisCode.Bytes(_bits) / 4)) - 1);
        _.kmovd(s_ringWords, eax);
        _.mov(s_rings, Argument(nameof(TrellisRows.Arguments.Rings)));
        _.mov(s_next, Argument(nameof(TrellisRows.Arguments.NextRow)));
        _.mov(s_x, Argument(nameof(TrellisRows.Arguments.X)));
        _.mov(s_scales, Argument(_tokens == 0 ? nameof(TrellisRows.Arguments.NextNumbers) : nameof(TrellisRows.Arguments.Scales)));
        _.mov(s_blocks, Argument(nameof(TrellisRows.Arguments.Blocks)));

        void Fill(AssemblerRegisterZMM register, int value)
        {
            _.mov(eax, value * 0x01010101);
            _.vpbroadcastd(register, eax);
        }
    }

    private void Leave()
    {
        _.vzeroupper();
        VectorRegisters.Restore(_, s_zmm.Length, _windows);
        _.ret();
    }

    /// <summary>Both halves of the states of a ring, each in the low 6 bits of a byte.</summary>
    private void ReadStates()
    {
        Each(row => LoadRing(row.High, row.Index == 0 ? s_rings + 0 : s_rings + s_next));
        Each(row => _.vpermb(row.High, s_windowPlaces, row.High));
        Each(row => _.vpmultishiftqb(row.Low, s_lowPlaces, row.High));
        Each(row => _.vpmultishiftqb(row.High, s_highPlaces, row.High));
    }

    /// <summary>Loads no byte beyond the ring, once or several times over.</summary>
    private void LoadRing(AssemblerRegisterZMM target, AssemblerMemoryOperand ring)
    {
        switch (_bits)
        {
            case 1: _.vbroadcastsd(target, __qword_ptr[ring]); break;
            case 2: _.vbroadcasti32x4(target, __xmmword_ptr[ring]); break;
            case 4: _.vbroadcastf64x4(target, __ymmword_ptr[ring]); break;
            default: _.vmovups(target.k3.z, __[ring]); break;
        }
    }

    /// <summary>
    /// The numbers, plus 126, to bytes of <see cref="Row.Number"/>. No entry of the upper half has all bits set, so what a carry is added to
    /// makes none of its own.
    /// </summary>
    private void LookUp()
    {
        Each(row => _.vpermb(row.Second, row.High, Table(4)));
        Each(row => _.vpermb(row.First, row.Low, Table(1)));
        Each(row => _.vpermb(row.Number, row.Low, Table(0)));
        Each(row => _.vpaddb(row.First, row.First, row.Second));
        Each(row => _.vpermb(row.Third, row.High, Table(5)));
        Each(row => Carry(row, row.First, row.Second));
        Each(row => _.vpermb(row.Second, row.Low, Table(2)));
        Each(row => AddCarry(row, row.Third));
        Each(row => _.vpermb(row.High, row.High, Table(6)));
        Each(row => _.vpermb(row.Low, row.Low, Table(3)));
        Each(row => _.vpandd(row.First, row.First, s_counted));
        Each(row => _.vpavgb(row.Number, row.Number, row.First));
        Each(row => _.vpaddb(row.Second, row.Second, row.Third));
        Each(row => Carry(row, row.Second, row.Third));
        Each(row => AddCarry(row, row.High));
        Each(row => _.vpaddb(row.Low, row.Low, row.High));
        Each(row => _.vpandd(row.Second, row.Second, s_counted));
        Each(row => _.vpandd(row.Low, row.Low, s_counted));
        Each(row => _.vpavgb(row.Second, row.Second, row.Low));
        Each(row => _.vpavgb(row.Number, row.Number, row.Second));
    }

    private static void Each(Action<Row> step)
    {
        foreach (Row row in s_rows) step(row);
    }

    /// <summary>Which sums are above 8 bits: those that are less than a summand.</summary>
    private void Carry(Row row, AssemblerRegisterZMM sum, AssemblerRegisterZMM summand) => _.vpcmpub(row.Carry, sum, summand, 1);

    private void AddCarry(Row row, AssemblerRegisterZMM target) => _.vpsubb(row.Index == 0 ? target.k1 : target.k2, target, s_minusOne);

    private void Store()
    {
        Each(row => _.vpsubb(row.Number, row.Number, s_centre));
        Each(row => _.vmovups(__[row.Index == 0 ? s_x : s_scales], row.Number));
    }

    private void AddProducts(int token)
    {
        AssemblerRegisterZMM x = s_rows[0].Low, scale = s_rows[1].Low;
        _.vmovups(x, __[s_x + token * Line]);
        _.vbroadcastsd(scale, __qword_ptr[s_scales + token * 2 * sizeof(float)]);
        Each(row => _.vpxord(Dot(row), Dot(row), Dot(row)));
        Each(row => _.vpdpbusd(Dot(row), row.Number, x));
        Each(row => _.vcvtdq2ps(Dot(row), Dot(row)));
        Each(row => _.vfmadd231ps(Sum(row, token), Dot(row), scale));

        // Two tokens in a row have different registers.
        AssemblerRegisterZMM Dot(Row row) => token % 2 == 0 ? row.Second : row.First;
    }

    private void EndBlock()
    {
        _.mov(s_address, Argument(nameof(TrellisRows.Arguments.BlockScales)));
        Each(row => _.vbroadcastss(row.First, __dword_ptr[s_address + row.Index * sizeof(float)]));
        _.add(s_address, 2 * sizeof(float));
        _.mov(Argument(nameof(TrellisRows.Arguments.BlockScales)), s_address);
        _.add(s_rings, Argument(nameof(TrellisRows.Arguments.Gap)));
        _.mov(s_address, Argument(nameof(TrellisRows.Arguments.Sums)));
        foreach (Row row in s_rows)
            for (int token = 0; token < _tokens; token++)
            {
                AssemblerMemoryOperand sum = __[s_address + (row.Index * _tokens + token) * Line];
                _.vmovups(row.Second, sum);
                _.vfmadd231ps(row.Second, Sum(row, token), row.First);
                _.vmovups(sum, row.Second);
            }
    }

    private AssemblerRegisterZMM Sum(Row row, int token) => s_zmm[FirstSum + row.Index * _tokens + token];

    private static AssemblerRegisterZMM Table(int table) => s_zmm[FirstTable + table];

    private static AssemblerMemoryOperand Argument(string field) => __qword_ptr[s_arguments + (int)Marshal.OffsetOf<TrellisRows.Arguments>(field)];
}
