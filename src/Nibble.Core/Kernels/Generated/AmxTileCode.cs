using System.Runtime.InteropServices;
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Nibble.Core.Kernels.Generated;

/// <summary>The machine code of <see cref="AmxTile"/>.</summary>
/// <remarks>
/// Row t of a matrix register of sums is token t, 32-bit lane r of it row r. The sums of a chunk are multiplied while those of
/// later ones are on their way through the ring, for loads must wait until what the registers store has reached the cache.
/// </remarks>
internal sealed class AmxTileCode
{
    private const int Line = 64, SlotBytes = AmxTile.Tokens * Line, FirstSum = 6;

    // rdi brings the arguments, rbx keeps them.
    private static readonly AssemblerRegister64 s_weights = rax, s_x = rdx, s_inputLine = r8, s_line = r9, s_numbers = r10, s_inputs = r11;
    private static readonly AssemblerRegister64 s_write = rsi, s_read = rdi, s_left = rcx, s_arguments = rbx;
    private static readonly AssemblerRegisterTMM[] s_products = [tmm0, tmm1, tmm2, tmm3], s_rows = [tmm4, tmm5], s_columns = [tmm6, tmm7];
    private static readonly AssemblerRegisterZMM[] s_scales = [zmm0, zmm1], s_offsets = [zmm2, zmm3], s_dots = [zmm4, zmm5];

    private readonly Assembler _ = new(64);
    private readonly int _parts;
    private readonly bool _hasOffsets;

    private AmxTileCode(int parts, bool hasOffsets) => (_parts, _hasOffsets) = (parts, hasOffsets);

    /// <summary>Code that is called as all systems but Windows call functions.</summary>
    public static byte[] Assemble(int parts, bool hasOffsets)
    {
        var code = new AmxTileCode(parts, hasOffsets);
        code.Write();
        return code._.ToBytes();
    }

    /// <summary>Chunks whose products are in the ring before the first is read.</summary>
    private int Ahead => AmxTile.RingBytes / ChunkBytes / 2;

    /// <summary>Chunks until the first register of sums has its turn again.</summary>
    private int Turn => s_products.Length / _parts;

    /// <summary>Bytes of a chunk in the ring.</summary>
    private int ChunkBytes => _parts * SlotBytes;

    private void Write()
    {
        Enter();
        Label few = _.CreateLabel(), steady = _.CreateLabel(), tail = _.CreateLabel(), rest = _.CreateLabel(), last = _.CreateLabel();
        for (int chunk = 0; chunk < Ahead; chunk++)
        {
            _.cmp(s_left, chunk);
            _.jle(few);
            MultiplyChunk(chunk);
        }
        _.Label(ref few);
        _.sub(s_left, Ahead);
        _.cmp(s_left, Turn);
        _.jl(tail);
        _.Label(ref steady);
        for (int chunk = 0; chunk < Turn; chunk++)
        {
            MultiplyChunk(Ahead + chunk);
            AddChunk();
        }
        _.sub(s_left, Turn);
        _.cmp(s_left, Turn);
        _.jge(steady);
        _.Label(ref tail);
        for (int chunk = 0; chunk < Turn - 1; chunk++)
        {
            _.cmp(s_left, 0);
            _.jle(rest);
            MultiplyChunk(Ahead + chunk);
            AddChunk();
            _.dec(s_left);
        }
        // What is left in the ring: all that were ahead, or as many as there were.
        _.Label(ref rest);
        _.add(s_left, Ahead);
        _.Label(ref last);
        AddChunk();
        _.dec(s_left);
        _.jne(last);
        Leave();
    }

    private void Enter()
    {
        _.push(s_arguments);
        _.mov(s_arguments, rdi);
        Label configured = _.CreateLabel();
        Load(rax, nameof(AmxTile.Arguments.Configuration));
        _.cmp(rax, 0);
        _.je(configured);
        _.ldtilecfg(__zmmword_ptr[rax]);
        _.Label(ref configured);
        Load(rax, nameof(AmxTile.Arguments.Sums));
        for (int token = 0; token < AmxTile.Tokens; token++) _.vmovups(Sum(token), __[rax + token * Line]);
        Load(s_weights, nameof(AmxTile.Arguments.Weights));
        Load(s_x, nameof(AmxTile.Arguments.X));
        Load(s_numbers, nameof(AmxTile.Arguments.Numbers));
        Load(s_inputs, nameof(AmxTile.Arguments.Inputs));
        Load(s_left, nameof(AmxTile.Arguments.Chunks));
        Load(s_write, nameof(AmxTile.Arguments.Ring));
        _.mov(s_read, s_write);
        _.mov(r8d, Activation.Chunk);
        _.mov(r9d, Line);
    }

    private void Leave()
    {
        Load(rax, nameof(AmxTile.Arguments.Sums));
        for (int token = 0; token < AmxTile.Tokens; token++) _.vmovups(__[rax + token * Line], Sum(token));
        Label kept = _.CreateLabel();
        Load(rax, nameof(AmxTile.Arguments.Last));
        _.cmp(rax, 0);
        _.je(kept);
        _.tilerelease();
        _.Label(ref kept);
        _.vzeroupper();
        _.pop(s_arguments);
        _.ret();
    }

    /// <summary>Puts the products of a chunk into the ring. Registers take turns: one that is written again must wait until it has been read.</summary>
    private void MultiplyChunk(int chunk)
    {
        for (int part = 0; part < _parts; part++)
        {
            int turn = chunk * _parts + part;
            AssemblerRegisterTMM products = s_products[turn % s_products.Length], rows = s_rows[turn % s_rows.Length], columns = s_columns[turn % s_columns.Length];
            _.tileloadd(rows, __[s_x + s_inputLine + part * (Activation.Chunk / _parts)]);
            _.tileloadd(columns, __[s_weights + s_line + part * (512 / _parts)]);
            _.tilezero(products);
            _.tdpbssd(products, rows, columns);
            _.tilestored(__[s_write + s_line + part * SlotBytes], products);
        }
        _.add(s_weights, 512);
        _.add(s_x, AmxTile.Tokens * Activation.Chunk);
        Advance(s_write);
    }

    /// <summary>sum += xScale (scale dot + ...) + xSum offset, of a chunk in the ring.</summary>
    private void AddChunk()
    {
        for (int part = 0; part < _parts; part++)
        {
            _.vmovups(s_scales[part], __[s_numbers + part * Line]);
            if (_hasOffsets) _.vmovups(s_offsets[part], __[s_numbers + (_parts + part) * Line]);
        }
        for (int token = 0; token < AmxTile.Tokens; token++)
        {
            _.vcvtdq2ps(s_dots[0], __[s_read + token * Line]);
            _.vmulps(s_dots[0], s_dots[0], s_scales[0]);
            if (_parts == 2)
            {
                _.vcvtdq2ps(s_dots[1], __[s_read + SlotBytes + token * Line]);
                _.vfmadd231ps(s_dots[0], s_dots[1], s_scales[1]);
            }
            _.vfmadd231ps(Sum(token), s_dots[0], __dword_bcst[s_inputs + Input(0, 0, token)]);
            for (int part = 0; part < _parts && _hasOffsets; part++)
                _.vfmadd231ps(Sum(token), s_offsets[part], __dword_bcst[s_inputs + Input(part, 2, token)]);
        }
        _.add(s_numbers, (_hasOffsets ? 2 : 1) * _parts * Line);
        _.add(s_inputs, Input(_parts, 0, 0));
        Advance(s_read);
    }

    /// <summary>The ring begins where the bit that its length is is not set in an address.</summary>
    private void Advance(AssemblerRegister64 place)
    {
        _.add(place, ChunkBytes);
        _.and(place, ~AmxTile.RingBytes);
    }

    private static AssemblerRegisterZMM Sum(int token) => VectorRegisters.All[FirstSum + token];

    /// <summary>Where a number of a token is.</summary>
    private static int Input(int part, int kind, int token) => ((part * InputNumbers.Kinds + kind) * AmxTile.Tokens + token) * sizeof(float);

    private void Load(AssemblerRegister64 target, string field) => _.mov(target, __qword_ptr[s_arguments + (int)Marshal.OffsetOf<AmxTile.Arguments>(field)]);
}
