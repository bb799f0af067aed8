using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="VectorTile"/>.</summary>
internal sealed class VectorTileCode
{
    /// <summary>Bytes from a code to one that is asked for, into the second cache: the first cannot wait for as many lines as memory takes.</summary>
    private const int Ahead = 8192;

    private const int Line = 64, Planes = 2, PlaneTables = PartialProducts.Entries / Line, Tables = Planes * PlaneTables;

    private static readonly AssemblerRegister64 s_arguments = rcx, s_codes = r8, s_tables = rdx, s_places = rax, s_sums = r9, s_next = r10, s_turns = r11;

    private static readonly AssemblerRegisterZMM[] s_zmm = VectorRegisters.All;
    private const int FirstTile = Tables, TileRegisters = 7;

    /// <summary>The registers of one of the tiles.</summary>
    private sealed record Tile(int Index)
    {
        /// <summary>Of a plane: sums of pairs of bytes as they are, and of their upper bytes.</summary>
        public AssemblerRegisterZMM Pairs(int plane) => At(2 * plane);
        public AssemblerRegisterZMM Upper(int plane) => At(2 * plane + 1);

        public AssemblerRegisterZMM Codes => At(4);
        public AssemblerRegisterZMM First => At(5);
        public AssemblerRegisterZMM Second => At(6);

        private AssemblerRegisterZMM At(int place) => s_zmm[FirstTile + Index * TileRegisters + place];
    }

    private readonly Assembler _ = new(64);
    private readonly Tile[] _tiles;
    private readonly bool _windows;

    private VectorTileCode(int tiles, bool windows) => (_tiles, _windows) = ([.. Enumerable.Range(0, tiles).Select(i => new Tile(i))], windows);

    private int Used => FirstTile + _tiles.Length * TileRegisters;

    /// <param name="tiles">1 or 2.</param>
    /// <param name="windows">Whether it is called as Windows calls functions, else as other systems do.</param>
    public static byte[] Assemble(int tiles, bool windows)
    {
        var code = new VectorTileCode(tiles, windows);
        code.Write();
        return code._.ToBytes();
    }

    private void Write()
    {
        if (!_windows) _.mov(rcx, rdi);
        VectorRegisters.Save(_, Used, _windows);
        _.mov(s_codes, Argument(nameof(VectorTile.Arguments.Codes)));
        _.mov(s_sums, Argument(nameof(VectorTile.Arguments.Sums)));
        _.mov(s_turns, Argument(nameof(VectorTile.Arguments.Turns)));
        _.mov(s_next, Argument(nameof(VectorTile.Arguments.Places)));
        _.shl(s_next, 6);
        Label turn = _.CreateLabel(), place = _.CreateLabel();
        _.Label(ref turn);
        _.mov(s_tables, Argument(nameof(VectorTile.Arguments.Tables)));
        _.mov(s_places, Argument(nameof(VectorTile.Arguments.Places)));
        foreach (Tile tile in _tiles)
            for (int plane = 0; plane < Planes; plane++) Clear(tile, plane);
        _.Label(ref place);
        AddPlace();
        _.add(s_codes, Line);
        _.add(s_tables, PartialProducts.TableBytes);
        _.dec(s_places);
        _.jne(place);
        foreach (Tile tile in _tiles) AddToSums(tile);
        _.add(s_sums, _tiles.Length * VectorTiles.TileRows * sizeof(float));
        if (_tiles.Length > 1) _.add(s_codes, s_next);
        _.dec(s_turns);
        _.jne(turn);
        _.vzeroupper();
        VectorRegisters.Restore(_, Used, _windows);
        _.ret();
    }

    private void Clear(Tile tile, int plane)
    {
        _.vpxord(tile.Pairs(plane), tile.Pairs(plane), tile.Pairs(plane));
        _.vpxord(tile.Upper(plane), tile.Upper(plane), tile.Upper(plane));
    }

    private void AddPlace()
    {
        foreach (Tile tile in _tiles) _.prefetcht1(tile.Index == 0 ? __[s_codes + Ahead] : __[s_codes + s_next + Ahead]);
        for (int i = 0; i < Tables; i++) _.vmovups(s_zmm[i], __[s_tables + i * Line]);
        foreach (Tile tile in _tiles)
        {
            _.vmovups(tile.Codes, tile.Index == 0 ? __[s_codes] : __[s_codes + s_next]);
            _.vpmovb2m(k1, tile.Codes);
            for (int plane = 0; plane < Planes; plane++)
            {
                LookUp(tile.First, tile.Codes, plane * PlaneTables);
                LookUp(tile.Second, tile.Codes, plane * PlaneTables + 2);
                _.vpblendmb(tile.First.k1, tile.First, tile.Second);
                _.vpaddw(tile.Pairs(plane), tile.Pairs(plane), tile.First);
                _.vpsrlw(tile.First, tile.First, 8);
                _.vpaddw(tile.Upper(plane), tile.Upper(plane), tile.First);
            }
        }
    }

    private void LookUp(AssemblerRegisterZMM target, AssemblerRegisterZMM codes, int table)
    {
        _.vmovups(target, codes);
        _.vpermi2b(target, s_zmm[table], s_zmm[table + 1]);
    }

    /// <summary>Sums of lower and upper bytes of 16 rows side by side are a dot product with 1 and 256.</summary>
    private void AddToSums(Tile tile)
    {
        // The tables are loaded again for the next tiles.
        AssemblerRegisterZMM weights = s_zmm[0], bias = s_zmm[1], unit = s_zmm[2];
        _.mov(eax, 0x01000001);
        _.vpbroadcastd(weights, eax);
        _.vpbroadcastd(bias, __dword_ptr[s_arguments + Offset(nameof(VectorTile.Arguments.Bias))]);
        _.vbroadcastss(unit, __dword_ptr[s_arguments + Offset(nameof(VectorTile.Arguments.Unit))]);
        for (int plane = 0; plane < Planes; plane++)
        {
            _.vpsllw(tile.First, tile.Upper(plane), 8);
            _.vpsubw(tile.Pairs(plane), tile.Pairs(plane), tile.First);
        }
        for (int quarter = 0; quarter < 4; quarter++)
        {
            (AssemblerRegisterZMM low, AssemblerRegisterZMM high) = quarter < 2 ? (tile.Pairs(0), tile.Pairs(1)) : (tile.Upper(0), tile.Upper(1));
            if (quarter % 2 == 0) _.vpunpcklwd(tile.First, low, high);
            else _.vpunpckhwd(tile.First, low, high);
            _.vmovups(tile.Second, bias);
            _.vpdpwssd(tile.Second, tile.First, weights);
            _.vcvtdq2ps(tile.Second, tile.Second);
            AssemblerMemoryOperand sum = __[s_sums + (tile.Index * 4 + quarter) * Line];
            _.vfmadd213ps(tile.Second, unit, sum);
            _.vmovups(sum, tile.Second);
        }
    }

    private static AssemblerMemoryOperand Argument(string field) => __qword_ptr[s_arguments + Offset(field)];

    private static int Offset(string field) => (int)Marshal.OffsetOf<VectorTile.Arguments>(field);
}
