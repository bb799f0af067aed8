using System.Runtime.InteropServices;
using Iced.Intel;
using Nibble.Core.Kernels.Generated;

namespace Nibble.Tests.Kernels.Generated;

/// <summary>
/// Runs generated machine code instruction by instruction, so that it is tested on processors that lack the instructions.
/// It knows the few that the generators use, and throws at any other. Memory is the process's own.
/// </summary>
internal sealed unsafe partial class Emulator
{
    private const int Lanes = 16;
    private const int StackBytes = 4096;

    private readonly ulong[] _general = new ulong[16];
    private readonly uint[] _vectors = new uint[32 * Lanes];
    private readonly ulong[] _masks = new ulong[8];
    private bool _zero, _less;

    // What a called function must leave as it is, on every system and on Windows beside.
    private static readonly Register[] s_kept = [Register.RBX, Register.RBP, Register.R12, Register.R13, Register.R14, Register.R15];
    private static readonly Register[] s_keptOnWindows = [Register.RDI, Register.RSI];
    private const int FirstKeptVector = 6, LastKeptVector = 15, KeptLanes = 4;

    [ThreadStatic] private static (Instruction[] Code, bool Windows) t_tile, t_twoTiles, t_pairs, t_rows, t_floatTile, t_floatPairs, t_levels, t_levelTile, t_trellis, t_entryProducts, t_vectorTile, t_vectorTiles, t_products;

    /// <summary>The generated product of tiles, emulated: good for calls from this thread, until the next with as many tiles together is asked for.</summary>
    /// <param name="windows">Whether it is made for Windows and called as Windows does; the systems differ in registers.</param>
    public static WideTile Tile(PackedShape shape, int tokens, int tiles, bool windows = false)
    {
        (Instruction[], bool) code = (Decode(WideTileCode.Assemble(shape, tokens, tiles, windows)), windows);
        if (tiles == 1) t_tile = code;
        else t_twoTiles = code;
        return new WideTile(tiles == 1 ? (nint)(delegate* unmanaged<WideTile.Arguments*, void>)&CallTile : (nint)(delegate* unmanaged<WideTile.Arguments*, void>)&CallTwoTiles);
    }

    [UnmanagedCallersOnly]
    private static void CallTile(WideTile.Arguments* arguments) => Call(t_tile, arguments);

    [UnmanagedCallersOnly]
    private static void CallTwoTiles(WideTile.Arguments* arguments) => Call(t_twoTiles, arguments);

    /// <summary>The generated product of pairs, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static PairPanel Pairs(bool windows = false)
    {
        t_pairs = (Decode(PairPanelCode.Assemble(windows)), windows);
        return new PairPanel((nint)(delegate* unmanaged<PairPanel.Arguments*, void>)&CallPairs);
    }

    [UnmanagedCallersOnly]
    private static void CallPairs(PairPanel.Arguments* arguments) => Call(t_pairs, arguments);

    /// <summary>The generated product of a few rows and tokens, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static PairRows Rows(bool halves, int tokens, bool windows = false)
    {
        t_rows = (Decode(PairRowsCode.Assemble(halves, tokens, windows)), windows);
        return new PairRows((nint)(delegate* unmanaged<PairRows.Arguments*, void>)&CallRows, tokens);
    }

    [UnmanagedCallersOnly]
    private static void CallRows(PairRows.Arguments* arguments) => Call(t_rows, arguments);

    /// <summary>The generated product of a tile of floats in 12 bits, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static FloatTile FloatTile(int tokens, bool windows = false)
    {
        t_floatTile = (Decode(FloatTileCode.Assemble(tokens, windows)), windows);
        return new FloatTile((nint)(delegate* unmanaged<FloatTile.Arguments*, void>)&CallFloatTile);
    }

    [UnmanagedCallersOnly]
    private static void CallFloatTile(FloatTile.Arguments* arguments) => Call(t_floatTile, arguments);

    /// <summary>The generated making of pairs of floats in 12 bits, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static FloatPairs FloatPairs(bool windows = false)
    {
        t_floatPairs = (Decode(FloatPairsCode.Assemble(windows)), windows);
        return new FloatPairs((nint)(delegate* unmanaged<FloatPairs.Arguments*, void>)&CallFloatPairs);
    }

    [UnmanagedCallersOnly]
    private static void CallFloatPairs(FloatPairs.Arguments* arguments) => Call(t_floatPairs, arguments);

    /// <summary>The generated product of four rows of looked-up levels, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static WideLevels Levels(bool small, bool windows = false)
    {
        t_levels = (Decode(WideLevelsCode.Assemble(small, windows)), windows);
        return new WideLevels((nint)(delegate* unmanaged<WideLevels.Arguments*, void>)&CallLevels);
    }

    [UnmanagedCallersOnly]
    private static void CallLevels(WideLevels.Arguments* arguments) => Call(t_levels, arguments);

    /// <summary>The generated product of 16 rows of levels of one table, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static LevelTile LevelTile(int scaleBytes, bool windows = false)
    {
        t_levelTile = (Decode(LevelTileCode.Assemble(scaleBytes, windows)), windows);
        return new LevelTile((nint)(delegate* unmanaged<LevelTile.Arguments*, void>)&CallLevelTile);
    }

    [UnmanagedCallersOnly]
    private static void CallLevelTile(LevelTile.Arguments* arguments) => Call(t_levelTile, arguments);

    /// <summary>The generated product of a trellis-coded row, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static TrellisRows Trellis(int bits, int tokens, bool windows = false)
    {
        t_trellis = (Decode(TrellisRowsCode.Assemble(bits, tokens, windows)), windows);
        return new TrellisRows((nint)(delegate* unmanaged<TrellisRows.Arguments*, void>)&CallTrellis, bits, inOrder: tokens == 0);
    }

    [UnmanagedCallersOnly]
    private static void CallTrellis(TrellisRows.Arguments* arguments) => Call(t_trellis, arguments);

    /// <summary>The generated tables of partial products, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static EntryProducts EntryProducts(int dimension, bool windows = false)
    {
        t_entryProducts = (Decode(EntryProductsCode.Assemble(dimension, windows)), windows);
        return new EntryProducts((nint)(delegate* unmanaged<EntryProducts.Arguments*, void>)&CallEntryProducts);
    }

    [UnmanagedCallersOnly]
    private static void CallEntryProducts(EntryProducts.Arguments* arguments) => Call(t_entryProducts, arguments);

    /// <summary>The generated look-ups of one tile of 64 rows, emulated: good for calls from this thread, until the next is asked for.</summary>
    public static VectorTile VectorTile(bool windows = false)
    {
        t_vectorTile = (Decode(VectorTileCode.Assemble(1, windows)), windows);
        return new VectorTile((nint)(delegate* unmanaged<VectorTile.Arguments*, void>)&CallVectorTile);
    }

    [UnmanagedCallersOnly]
    private static void CallVectorTile(VectorTile.Arguments* arguments) => Call(t_vectorTile, arguments);

    /// <summary>The same of tiles that are taken together.</summary>
    public static VectorTile VectorTiles(bool windows = false)
    {
        t_vectorTiles = (Decode(VectorTileCode.Assemble(Core.Kernels.Generated.VectorTile.Together, windows)), windows);
        return new VectorTile((nint)(delegate* unmanaged<VectorTile.Arguments*, void>)&CallVectorTiles);
    }

    [UnmanagedCallersOnly]
    private static void CallVectorTiles(VectorTile.Arguments* arguments) => Call(t_vectorTiles, arguments);

    /// <summary>The generated products of attention, emulated: good for calls from this thread, until the next is asked for.</summary>
    /// <param name="lines">Of rows, side by side.</param>
    public static WideProducts Products(int lines, bool pairs = false, bool windows = false)
    {
        t_products = (Decode(WideProductsCode.Assemble(lines, pairs, windows)), windows);
        return new WideProducts((nint)(delegate* unmanaged<WideProducts.Arguments*, void>)&CallProducts);
    }

    [UnmanagedCallersOnly]
    private static void CallProducts(WideProducts.Arguments* arguments) => Call(t_products, arguments);

    /// <summary>The instruction that starts at each byte of the code.</summary>
    private static Instruction[] Decode(byte[] code)
    {
        var instructions = new Instruction[code.Length];
        var decoder = Iced.Intel.Decoder.Create(64, code);
        while (decoder.IP < (ulong)code.Length)
        {
            Instruction instruction = decoder.Decode();
            instructions[instruction.IP] = instruction;
        }
        return instructions;
    }

    /// <summary>Calls code that takes one argument, and checks that stack and registers are as it must leave them.</summary>
    private static void Call((Instruction[] Code, bool Windows) function, void* argument)
    {
        (Instruction[] code, bool windows) = function;
        var emulator = new Emulator();
        byte* stack = stackalloc byte[StackBytes];
        ulong top = (ulong)stack + StackBytes;
        emulator.Set(Register.RSP, top);
        Register[] kept = windows ? [.. s_kept, .. s_keptOnWindows] : s_kept;
        for (int i = 0; i < kept.Length; i++) emulator.Set(kept[i], Mark(i));
        for (int i = 0; i < emulator._vectors.Length; i++) emulator._vectors[i] = (uint)Mark(i);
        emulator.Set(windows ? Register.RCX : Register.RDI, (ulong)argument);
        for (ulong at = 0; code[at].Mnemonic != Mnemonic.Ret;) at = emulator.Step(code[at]);
        if (emulator.Get(Register.RSP) != top) throw new InvalidOperationException("the stack is not as it was");
        for (int i = 0; i < kept.Length; i++)
            if (emulator.Get(kept[i]) != Mark(i)) throw new InvalidOperationException($"{kept[i]} is not as it was");
        for (int i = FirstKeptVector * Lanes; windows && i < (LastKeptVector + 1) * Lanes; i++)
            if (i % Lanes < KeptLanes && emulator._vectors[i] != (uint)Mark(i)) throw new InvalidOperationException($"xmm{i / Lanes} is not as it was");

        static ulong Mark(int i) => 0xABCD_0000_7F00_0000 + (ulong)i;
    }

    private ulong Step(in Instruction i)
    {
        switch (i.Mnemonic)
        {
            case Mnemonic.Push: Set(Register.RSP, Get(Register.RSP) - 8); *(ulong*)Get(Register.RSP) = Get(i.Op0Register); break;
            case Mnemonic.Pop: Set(i.Op0Register, *(ulong*)Get(Register.RSP)); Set(Register.RSP, Get(Register.RSP) + 8); break;
            case Mnemonic.Mov when i.Op0Kind == OpKind.Memory: *(ulong*)Address(i) = Get(i.Op1Register); break;
            case Mnemonic.Mov: Set(i.Op0Register, i.Op1Kind == OpKind.Memory ? *(ulong*)Address(i) : Second(i)); break;
            case Mnemonic.Movzx: Set(i.Op0Register, *(byte*)Address(i)); break;
            case Mnemonic.Shl: Set(i.Op0Register, Get(i.Op0Register) << i.Immediate8); break;
            case Mnemonic.Lea: Set(i.Op0Register, Address(i)); break;
            case Mnemonic.Add: Set(i.Op0Register, Get(i.Op0Register) + (i.Op1Kind == OpKind.Memory ? *(ulong*)Address(i) : Second(i))); break;
            case Mnemonic.Sub: Set(i.Op0Register, Get(i.Op0Register) - Second(i)); _zero = Get(i.Op0Register) == 0; break;
            case Mnemonic.Xor: Set(i.Op0Register, Get(i.Op0Register) ^ Second(i)); break;
            case Mnemonic.Test: _zero = (Get(i.Op0Register) & Second(i)) == 0; break;
            case Mnemonic.Dec: Set(i.Op0Register, Get(i.Op0Register) - 1); _zero = Get(i.Op0Register) == 0; break;
            case Mnemonic.Je: return _zero ? i.NearBranchTarget : i.NextIP;
            case Mnemonic.Jne: return _zero ? i.NextIP : i.NearBranchTarget;
            case Mnemonic.Jle: return _zero || _less ? i.NearBranchTarget : i.NextIP;
            case Mnemonic.Cmp: (_zero, _less) = (Get(i.Op0Register) == Second(i), (long)Get(i.Op0Register) < (long)Second(i)); break;
            case Mnemonic.Cmovl: if (_less) Set(i.Op0Register, Get(i.Op1Register)); break;
            case Mnemonic.Vzeroupper or Mnemonic.Prefetchnta or Mnemonic.Prefetcht0 or Mnemonic.Prefetcht1: break;
            default: if (!StepMatrix(i)) StepVector(i); break;
        }
        return i.NextIP;
    }

    private void StepVector(in Instruction i)
    {
        if (i.Op0Kind == OpKind.Memory)
        {
            Stored(i).CopyTo(new Span<uint>((void*)Address(i), Lanes));
            return;
        }
        if (i.Op0Register.IsK())
        {
            StepMask(i, ref _masks[i.Op0Register.GetNumber()]);
            return;
        }
        if (i.ZeroingMasking)
        {
            LoadMasked(i, Vector(i.Op0Register));
            return;
        }
        Span<uint> target = Vector(i.Op0Register);
        Span<uint> a = i.OpCount > 2 ? Vector(i.Op1Register) : default, b = stackalloc uint[Lanes];
        Last(i, b);
        if (i.Mnemonic is Mnemonic.Vpermb or Mnemonic.Vpermi2b or Mnemonic.Vpsubb or Mnemonic.Vpaddb or Mnemonic.Vpavgb or Mnemonic.Vpmultishiftqb
            or Mnemonic.Vpblendmb or Mnemonic.Vpackuswb)
        {
            StepBytes(i, MemoryMarshal.AsBytes(target), MemoryMarshal.AsBytes(a), MemoryMarshal.AsBytes(b));
            return;
        }
        if (i.Mnemonic is Mnemonic.Vpermt2w or Mnemonic.Vpermw or Mnemonic.Vpmovzxbw or Mnemonic.Vpmovsxbw or Mnemonic.Vpaddw or Mnemonic.Vpsubw or Mnemonic.Vpackusdw or Mnemonic.Vpunpcklwd or Mnemonic.Vpunpckhwd)
        {
            StepWords(i.Mnemonic, MemoryMarshal.Cast<uint, ushort>(target), MemoryMarshal.Cast<uint, ushort>(a), MemoryMarshal.Cast<uint, ushort>(b));
            return;
        }
        if (i.Mnemonic == Mnemonic.Vcvtne2ps2bf16)
        {
            RoundToPairs(MemoryMarshal.Cast<uint, ushort>(target), b, a);
            return;
        }
        if (i.Mnemonic is Mnemonic.Vunpcklps or Mnemonic.Vunpckhps or Mnemonic.Vunpcklpd or Mnemonic.Vunpckhpd or Mnemonic.Vshuff32x4)
        {
            Interleave(i, target, a, b);
            return;
        }
        for (int lane = 0; lane < i.Op0Register.GetSize() / 4; lane++)
            target[lane] = i.Mnemonic switch
            {
                Mnemonic.Vmovups or Mnemonic.Vmovaps or Mnemonic.Vpbroadcastd or Mnemonic.Vbroadcastss => b[lane],
                Mnemonic.Vbroadcasti32x4 => b[lane % 4],
                Mnemonic.Vbroadcastsd => b[lane % 2],
                Mnemonic.Vbroadcastf64x4 => b[lane % 8],
                Mnemonic.Vpxord => a[lane] ^ b[lane],
                Mnemonic.Vpandd => a[lane] & b[lane],
                Mnemonic.Vpternlogd when i.Immediate8 == 0xF8 => target[lane] | (a[lane] & b[lane]),
                Mnemonic.Vpternlogd when i.Immediate8 == 0xEA => (target[lane] & a[lane]) | b[lane],
                Mnemonic.Vpternlogd when i.Immediate8 == 0xFE => target[lane] | a[lane] | b[lane],
                Mnemonic.Vpmulld => a[lane] * b[lane],
                Mnemonic.Vpaddd => a[lane] + b[lane],
                Mnemonic.Vpsrld => b[lane] >> i.Immediate8,
                Mnemonic.Vpslld => b[lane] << i.Immediate8,
                Mnemonic.Vpsrlw => (b[lane] & 0xFFFF) >> i.Immediate8 | (b[lane] >> 16 >> i.Immediate8 << 16),
                Mnemonic.Vpsllw => (b[lane] << i.Immediate8 & 0xFFFF) | (b[lane] >> 16 << i.Immediate8 << 16),
                Mnemonic.Vpshufb => Shuffle(a, b[lane], lane & ~3),
                Mnemonic.Vpmovzxbd => MemoryMarshal.Cast<uint, byte>(b)[lane],
                Mnemonic.Vpmovsxbd => (uint)MemoryMarshal.Cast<uint, sbyte>(b)[lane],
                Mnemonic.Vcvtph2ps => Bits((float)MemoryMarshal.Cast<uint, Half>(b)[lane]),
                Mnemonic.Vpermilps => b[lane / 4 * 4 + (i.Immediate8 >> lane % 4 * 2 & 3)],
                Mnemonic.Vminps => Float(a[lane]) < Float(b[lane]) ? a[lane] : b[lane],
                Mnemonic.Vmaxps => Float(a[lane]) > Float(b[lane]) ? a[lane] : b[lane],
                Mnemonic.Vrndscaleps when i.Immediate8 == 0 => Bits(MathF.Round(Float(b[lane]))),
                Mnemonic.Vscalefps => Bits(MathF.ScaleB(Float(a[lane]), (int)Float(b[lane]))),
                Mnemonic.Vmulps => Bits(Float(a[lane]) * Float(b[lane])),
                Mnemonic.Vdivps => Bits(Float(a[lane]) / Float(b[lane])),
                Mnemonic.Vaddps => Bits(Float(a[lane]) + Float(b[lane])),
                Mnemonic.Vsubps => Bits(Float(a[lane]) - Float(b[lane])),
                Mnemonic.Vpdpbusd => Dot(target[lane], a[lane], b[lane]),
                Mnemonic.Vdpbf16ps => Bits(Float(target[lane]) + UpperFloat(a[lane]) * UpperFloat(b[lane]) + UpperFloat(a[lane] << 16) * UpperFloat(b[lane] << 16)),
                Mnemonic.Vpmaddubsw => Pair(a[lane], b[lane]) & 0xFFFF | Pair(a[lane] >> 16, b[lane] >> 16) << 16,
                Mnemonic.Vpdpwssd => target[lane] + (uint)((short)a[lane] * (short)b[lane] + (short)(a[lane] >> 16) * (short)(b[lane] >> 16)),
                Mnemonic.Vcvtdq2ps => Bits((int)b[lane]),
                Mnemonic.Vfnmadd231ps => Bits(MathF.FusedMultiplyAdd(-Float(a[lane]), Float(b[lane]), Float(target[lane]))),
                Mnemonic.Vfmadd213ps => Bits(MathF.FusedMultiplyAdd(Float(a[lane]), Float(target[lane]), Float(b[lane]))),
                Mnemonic.Vfmadd231ps => Bits(MathF.FusedMultiplyAdd(Float(a[lane]), Float(b[lane]), Float(target[lane]))),
                _ => throw new NotSupportedException($"{i}"),
            };
    }

    /// <summary>The last operand but for an immediate: a register, memory, or a number of memory or of a register in every lane.</summary>
    private void Last(in Instruction i, Span<uint> lanes)
    {
        int last = i.OpCount - (i.GetOpKind(i.OpCount - 1) == OpKind.Immediate8 ? 2 : 1);
        if (i.GetOpKind(last) != OpKind.Register)
        {
            if (i.IsBroadcast || i.MemorySize.GetSize() == 4) lanes.Fill(*(uint*)Address(i));
            else new ReadOnlySpan<uint>((void*)Address(i), i.MemorySize.GetSize() / 4).CopyTo(lanes);
        }
        else if (i.GetOpRegister(last).IsGPR()) lanes.Fill((uint)Get(i.GetOpRegister(last)));
        else Vector(i.GetOpRegister(last)).CopyTo(lanes);
    }

    /// <summary>Four bytes of a table that stands in the four lanes from the given one.</summary>
    private static uint Shuffle(Span<uint> table, uint places, int from)
    {
        uint bytes = 0;
        for (int k = 0; k < 32; k += 8)
        {
            int place = (int)(places >> k) & 0xFF;
            if (place < 128) bytes |= (table[from + (place & 15) / 4] >> (8 * (place & 3)) & 0xFF) << k;
        }
        return bytes;
    }

    /// <summary>Look-ups in one register or two, whose place comes from the low bits of a byte; packing of words; a choice, a difference under a mask.</summary>
    private void StepBytes(in Instruction i, Span<byte> target, Span<byte> a, Span<byte> b)
    {
        Span<byte> before = [.. target], first = [.. a];
        for (int k = 0; k < target.Length; k++)
            target[k] = i.Mnemonic switch
            {
                Mnemonic.Vpermb => b[a[k] & 63],
                Mnemonic.Vpermi2b => (before[k] & 64) == 0 ? a[before[k] & 63] : b[before[k] & 63],
                Mnemonic.Vpaddb => (byte)(a[k] + b[k]),
                Mnemonic.Vpavgb => (byte)((a[k] + b[k] + 1) >> 1),
                Mnemonic.Vpblendmb => (_masks[i.OpMask.GetNumber()] >> k & 1) != 0 ? b[k] : first[k],
                Mnemonic.Vpackuswb => (byte)Math.Clamp(MemoryMarshal.Cast<byte, short>(k % 16 < 8 ? first : b)[k / 16 * 8 + k % 8], byte.MinValue, byte.MaxValue),
                Mnemonic.Vpmultishiftqb => (byte)ulong.RotateRight(MemoryMarshal.Cast<byte, ulong>(b)[k / 8], a[k] & 63),
                _ => i.OpMask == Register.None || (_masks[i.OpMask.GetNumber()] >> k & 1) != 0 ? (byte)(a[k] - b[k]) : before[k],
            };
    }

    /// <summary>A bit for each byte, or those of a number.</summary>
    private void StepMask(in Instruction i, ref ulong mask)
    {
        if (i.Mnemonic == Mnemonic.Kmovd)
        {
            mask = (uint)Get(i.Op1Register);
            return;
        }
        Span<byte> a = MemoryMarshal.AsBytes(Vector(i.Op1Register)), b = i.OpCount > 2 ? MemoryMarshal.AsBytes(Vector(i.Op2Register)) : default;
        mask = 0;
        for (int k = 0; k < a.Length; k++)
            if (i.Mnemonic switch
            {
                Mnemonic.Vpmovb2m => a[k] > 127,
                Mnemonic.Vpcmpub when i.Immediate8 == 1 => a[k] < b[k],
                _ => throw new NotSupportedException($"{i}"),
            }) mask |= 1ul << k;
    }

    /// <summary>The lanes of memory that a mask has, else zeros; the others are not read.</summary>
    private void LoadMasked(in Instruction i, Span<uint> target)
    {
        if (i.Mnemonic != Mnemonic.Vmovups) throw new NotSupportedException($"{i}");
        for (int lane = 0; lane < Lanes; lane++) target[lane] = (_masks[i.OpMask.GetNumber()] >> lane & 1) != 0 ? ((uint*)Address(i))[lane] : 0;
    }

    /// <summary>Look-ups of words in two registers, the first of which they take the place of; sums; packing and interleaving within 128 bits.</summary>
    private static void StepWords(Mnemonic mnemonic, Span<ushort> target, Span<ushort> a, Span<ushort> b)
    {
        ushort[] before = [.. target], first = [.. a];
        for (int k = 0; k < target.Length; k++)
            target[k] = mnemonic switch
            {
                Mnemonic.Vpermw => b[first[k] & 31],
                Mnemonic.Vpmovzxbw => MemoryMarshal.AsBytes(b)[k],
                Mnemonic.Vpmovsxbw => (ushort)(sbyte)MemoryMarshal.AsBytes(b)[k],
                Mnemonic.Vpermt2w => (first[k] & 32) == 0 ? before[first[k] & 31] : b[first[k] & 31],
                Mnemonic.Vpaddw => (ushort)(first[k] + b[k]),
                Mnemonic.Vpsubw => (ushort)(first[k] - b[k]),
                Mnemonic.Vpackusdw => (ushort)Math.Clamp(MemoryMarshal.Cast<ushort, int>(k % 8 < 4 ? first : b)[k / 8 * 4 + k % 4], ushort.MinValue, ushort.MaxValue),
                _ => (k % 2 == 0 ? first : b)[k / 8 * 8 + k % 8 / 2 + (mnemonic == Mnemonic.Vpunpckhwd ? 4 : 0)],
            };
    }

    /// <summary>Two products of an unsigned and a signed byte, the sum cut to what 16 bits hold.</summary>
    private static uint Pair(uint unsigned, uint signed) =>
        (uint)Math.Clamp((byte)unsigned * (sbyte)signed + (byte)(unsigned >> 8) * (sbyte)(signed >> 8), short.MinValue, short.MaxValue);

    /// <summary>Four products of an unsigned and a signed byte.</summary>
    private static uint Dot(uint sum, uint unsigned, uint signed)
    {
        int total = (int)sum;
        for (int k = 0; k < 32; k += 8) total += (byte)(unsigned >> k) * (sbyte)(signed >> k);
        return (uint)total;
    }

    /// <summary>The bfloat16 in the upper half.</summary>
    private static float UpperFloat(uint bits) => Float(bits & 0xFFFF0000);

    private static uint Bits(float value) => BitConverter.SingleToUInt32Bits(value);

    private static float Float(uint bits) => BitConverter.UInt32BitsToSingle(bits);

    private Span<uint> Vector(Register register) => _vectors.AsSpan(register.GetNumber() * Lanes, Lanes);

    private ulong Get(Register register) => _general[register.GetNumber()];

    private void Set(Register register, ulong value) => _general[register.GetNumber()] = value;

    private ulong Second(in Instruction i) => i.Op1Kind == OpKind.Register ? Get(i.Op1Register) : i.GetImmediate(1);

    private ulong Address(in Instruction i) =>
        Get(i.MemoryBase) + (i.MemoryIndex == Register.None ? 0 : Get(i.MemoryIndex) * (ulong)i.MemoryIndexScale) + i.MemoryDisplacement64;
}
